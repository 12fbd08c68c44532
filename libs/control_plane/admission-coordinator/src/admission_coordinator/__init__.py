"""The life of a task: admit, queue, dispatch, stream, cancel, retry, finish."""

"""The CLOUD profile over real sockets."""

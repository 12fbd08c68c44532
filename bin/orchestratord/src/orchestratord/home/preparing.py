"""What HOME does before anything is started."""

import asyncio

from orchestratord.config import Settings
from orchestratord.home.demo import with_default_pool, with_demo
from orchestratord.home.folder import prepare_home


async def prepared(settings: Settings) -> Settings:
    """Make the folder, and return settings that have a pool; raises HomeNotUsable."""
    await asyncio.to_thread(prepare_home, settings.home)
    if settings.demo:
        return await asyncio.to_thread(with_demo, settings)
    return with_default_pool(settings)

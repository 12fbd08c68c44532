"""How the programs of llama-orch are configured: sources, precedence, problems, reports."""

from program_config.addresses import BindAddress, is_loopback_host
from program_config.command_line import EXIT_BAD_CONFIGURATION, Command, CommandLine
from program_config.load import ConfigError, Loaded, load, nearest
from program_config.machine import default_machine_id, default_node_id
from program_config.report import describe
from program_config.schema import PROGRAM_TABLES, Given, Layer, ProgramSettings, Schema
from program_config.sources import SourceSettings
from program_config.values import Bind, Bytes, Folder, Milliseconds, PriceMap, TextList, TextMap
from program_config.variables import CONTRACT_VARIABLES, Alias, Variable

__all__ = [
    "CONTRACT_VARIABLES",
    "EXIT_BAD_CONFIGURATION",
    "PROGRAM_TABLES",
    "Alias",
    "Bind",
    "BindAddress",
    "Bytes",
    "Command",
    "CommandLine",
    "ConfigError",
    "Folder",
    "Given",
    "Layer",
    "Loaded",
    "Milliseconds",
    "PriceMap",
    "ProgramSettings",
    "Schema",
    "SourceSettings",
    "TextList",
    "TextMap",
    "Variable",
    "default_machine_id",
    "default_node_id",
    "describe",
    "is_loopback_host",
    "load",
    "nearest",
]

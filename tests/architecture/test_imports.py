"""Which package may import which, and what the pure ones must not touch."""

import ast

TIERS = {"shared", "control_plane", "gpu_node", "provisioners", "worker_adapters", "bin"}

SHARED_MAY_IMPORT = {
    "node_types": set(),
    "pool_registry_types": {"node_types"},
    "service_discovery_types": {"node_types", "pool_registry_types"},
    "api_types": {"pool_registry_types"},
    "orchestrator_core": {"api_types", "pool_registry_types"},
    "orchestrator_client": {"api_types"},
    "catalog_core": {"api_types"},
    "adapter_api": {"api_types"},
    "narration_core": set(),
    "telemetry_core": {"narration_core"},
    "auth_min": set(),
    "demo_model": set(),
    "program_config": set(),
    "http_shell": {"api_types", "narration_core", "program_config"},
}
"""The column "may import" of the architecture; a `testing` module may import those of its types."""

BEYOND_SHARED = {
    "admission_coordinator": {"multi_node_placement"},
    "local_pool_manager": {
        "gpu_discovery",
        "engine_provisioner",
        "model_provisioner",
        "handoff_watcher",
    },
    "model_keeper": {"model_cache", "model_provisioner"},
    "llamacpp_http": {"worker_http"},
    "openai_http": {"worker_http"},
    "vllm_http": {"worker_http"},
}
"""What a package of another tier may import besides all of shared."""

PURE = {
    "api_types",
    "node_types",
    "orchestrator_core",
    "pool_registry_types",
    "service_discovery_types",
}
IMPURE_MODULES = {
    "aiohttp",
    "asyncio",
    "logging",
    "random",
    "secrets",
    "socket",
    "threading",
    "time",
}
IMPURE_CALLS = {"now", "utcnow", "today", "uuid1", "uuid4", "getenv", "open", "print", "input"}


def imports_of(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module.name} has a relative import"
            yield str(node.module).split(".")[0]


def allowed(member, members):
    shared = {other.import_name for other in members if other.tier == "shared"}
    if member.tier == "shared":
        return SHARED_MAY_IMPORT[member.import_name]
    if member.tier == "bin":
        every = {other.import_name for other in members if other.tier != "bin"}
        return shared if member.name == "llorch" else every
    return shared | BEYOND_SHARED.get(member.import_name, set())


def test_every_member_stands_in_a_known_tier(member):
    assert member.tier in TIERS


def test_a_package_imports_only_what_the_architecture_allows(member, members):
    ours = {other.import_name for other in members} - {member.import_name}
    may = allowed(member, members)
    for module in member.modules:
        extra = PURE if member.is_testing(module) else set()
        found = set(imports_of(module)) & ours
        assert found <= may | extra, f"{module.name} imports {sorted(found - may - extra)}"


def environment_reads(module):
    tree = ast.parse(module.read_text(encoding="utf-8"))
    passed_on = {
        id(value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if key is None
    }
    for node in ast.walk(tree):
        reads = isinstance(node, ast.Attribute) and node.attr in {"getenv", "environ"}
        if reads and id(node) not in passed_on:
            yield node.lineno


def test_no_library_reads_the_environment(member):
    """To pass it on to a child, as in `{**os.environ, …}`, is no reading; programs may read."""
    if member.tier == "bin":
        return
    for module in member.modules:
        assert list(environment_reads(module)) == [], module.name


def test_a_pure_package_reads_no_clock_does_no_io_and_takes_no_chance(member):
    if member.import_name not in PURE:
        return
    for module in member.modules:
        if member.is_testing(module):
            continue
        assert not set(imports_of(module)) & IMPURE_MODULES, module.name
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Await | ast.AsyncFunctionDef), module.name
            if isinstance(node, ast.Call):
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert called not in IMPURE_CALLS, f"{module.name}:{node.lineno} calls {called}"


def test_the_control_plane_is_one_process(member):
    """Its state is plain objects of one event loop."""
    if member.tier != "control_plane" and member.name != "orchestratord":
        return
    for module in member.modules:
        assert "multiprocessing" not in set(imports_of(module)), module.name
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                assert "reuse_port" not in {keyword.arg for keyword in node.keywords}, module.name
                called = getattr(node.func, "attr", getattr(node.func, "id", ""))
                assert called not in {"fork", "ProcessPoolExecutor"}, module.name

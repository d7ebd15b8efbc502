"""The layers that need no server: formatting, lints, pure tests."""

from harness.installation import server_version
from harness.paths import ROOT, TARGET
from release.scripts import install_script
from release.statements import statements

# How the crate is built without PostgreSQL.
PROXY = ("--no-default-features", "--features", "proxy")
PGSPOT = "pgspot==0.9.4"
PGSPOT_RUNNER = ROOT / "tests" / "layers" / "spot.py"
IMPORTS = ROOT / "tests" / "layers" / "imports.py"
# A procedure that commits cannot have settings of its own, a search_path among them.
COMMITS = (
    "--proc-without-search-path", "marketing_automation.process_all_due(batch_size integer,now timestamptz)",
    "--proc-without-search-path", "marketing_automation.enroll_all()",
)  # fmt: skip
# Replacing functions and views is what an update is for; PostgreSQL replaces none that is not the extension's own.
REPLACES = ("--ignore", "PS002", "--ignore", "PS015")
# Imports what a folder's program does, and does not run it.
LOAD = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded')"


def format_(log):
    """rustfmt changes nothing."""
    log.check("cargo", "fmt", "--check")


def lint(log):
    """clippy has nothing to say about either feature set, nor pgspot about the install script and those of updates; no script is stale, and no
    released one has changed; the imports are in order; what no test runs loads."""
    server = f"pg{server_version()}"
    for features in (("--no-default-features", "--features", f"{server} pg_test"), PROXY):
        log.check("cargo", "clippy", "--all-targets", *features, "--", "-D", "warnings")
    log.check("/usr/bin/python3", "-B", IMPORTS, ROOT / "src")
    log.check("/usr/bin/python3", "-B", ROOT / "tests" / "release", "check")
    schema = TARGET / "test-logs" / "schema.sql"
    log.run("cargo", "pgrx", "schema", server, "--no-default-features", "--out", schema)
    same = _statements(schema.read_text()) == _statements(install_script())
    log.count(int(same), int(not same))
    if not same:
        log.failures.append(f"`cargo pgrx schema` has made another script ({schema}) than .ci/install does")
    log.check(_python_with_pgspot(log), "-B", PGSPOT_RUNNER, "-a", *COMMITS, _as_create_extension(schema), schema)
    for script in sorted((ROOT / "sql").glob("marketing_automation--*--*.sql")):
        log.check(_python_with_pgspot(log), "-B", PGSPOT_RUNNER, "-a", *COMMITS, *REPLACES, _as_create_extension(schema), script)
    for program in ("bench", "bench/peers", "demo"):
        log.check("/usr/bin/python3", "-B", "-c", LOAD, ROOT / "tests" / program)


def unit(log):
    """The pure parts and the proxy."""
    log.cargo_test("cargo", "test", *PROXY)


def _statements(script):
    return [statement.text for statement in statements(script)]


def _as_create_extension(schema):
    """The search_path under which CREATE EXTENSION runs the script, in a file for pgspot to read first."""
    settings = schema.with_name("search_path.sql")
    settings.write_text("SET search_path TO pg_catalog, pg_temp;\n")
    return settings


def _python_with_pgspot(log):
    """The Python of an environment of its own under target/: what pgspot parses with is not in Debian."""
    environment = TARGET / "pgspot"
    if not (environment / "bin" / "pgspot").exists():
        log.run("/usr/bin/python3", "-m", "venv", "--clear", environment)
        log.run(environment / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", PGSPOT)
    return environment / "bin" / "python"

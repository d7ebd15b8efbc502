"""Runs pgspot; for the Python that has it, see source.py.

pgspot 0.9.4 stops at a function whose body is SQL itself (`return …`, `begin atomic`) instead of a
string. Such a body is parsed, and its names are resolved, when the script runs: so it is checked as
part of the script, and needs no search_path of its own.
"""

from pgspot import cli, visitors

_check_function = visitors.SQLVisitor.visit_CreateFunctionStmt


def _check_function_with_body(self, ancestors, node):
    if node.sql_body is None:
        _check_function(self, ancestors, node)


visitors.SQLVisitor.visit_CreateFunctionStmt = _check_function_with_body

if __name__ == "__main__":
    cli.run()

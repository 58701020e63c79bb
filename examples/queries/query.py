"""Run the statements of a SQL file over one sweep and print each result.

    pip install duckdb
    python examples/queries/query.py RESULTS/NAME [FILE.sql]

The tables are those of sweeps/results/views.sql; without a file, koleo.sql beside this one is run.
"""

import sys
from importlib.resources import files
from pathlib import Path

import duckdb


def main(results: str, sql: str = str(Path(__file__).with_name("koleo.sql"))) -> None:
    """Print the result of each statement of `sql` that has one."""
    connection = duckdb.connect()
    connection.execute(files("sweeps.results").joinpath("views.sql").read_text(encoding="utf-8"))
    connection.execute("set variable results = $results", {"results": results})
    for statement in filter(str.strip, Path(sql).read_text(encoding="utf-8").split(";\n")):
        found = connection.sql(statement)
        if found is not None:  # setting a variable has no result
            print(found)


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Sweeps: a script per question, and what designs, runs, stores and analyses it.

`design` turns factors into a plan and its runs; `engine` runs them on Ray; `cli` is the command line of every script;
`results` is the schema and the store; `analysis` goes from tables to effects, figures and reports; `commands` is what
the console script `koleo-sweeps` offers.
"""

"""`cel2crm report`: figures of a period for people, as a table, as lines, or as one page with plots.

calls.py      a call as the report counts it, and the period
settled.py    pure: what became of each incoming call that nobody answered
figures.py    pure: counts, rates, times, by day, hour, trunk, queue and extension
words.py      the texts, in each language (texts.yaml)
plots.py      the plots as vega-lite, made by altair (the extra `report`)
page.py       the page: figures, plots and scripts in one file
"""

"""`cel2crm report`: the command, and the report as tables and lines; the page is made in streams/analysis/report."""

"""Delivery under faults: every fault at every step, workers killed and stopped, and a long soak.

portal_faults, ways, cells     the matrix as data
recordings, task_cells         what follows the calls of a cell, and what must be the end of it
fixtures, fenced_memory        what a cell needs: calls, portal, client; a log without a broker
worker_owner                   a delivery worker in this process that can be killed and stopped
run_cell, run_cells            cells run to their end (`python -m tests.faults`)
soak, soak_run, soak_report    real servers, at random (`make soak`)
recorded_results               results of recorded calls
gap                            measures how late a request can still go out
"""

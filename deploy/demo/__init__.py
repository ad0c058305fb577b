"""The demo: the whole pipeline on real servers, with recorded calls flowing to the fake CRMs.

__main__.py    `python -m deploy.demo` (make demo)
pipeline.py    settings, topics, connector, workers
recordings.py  the recorded calls and their truth; player.py writes them into the PBX's table
run.py         plays them until everything expected has arrived, and shows how far it is
observer.py    reads topics and portals meanwhile
expected.py    the entries due in each portal; report.py the tables and the verdict
"""

"""A release: wheel and sdist of the tag that stands at this commit, checksums, and a list of what it was tested with.

python -m deploy.release      (make release), with the tools of deploy/tools.txt
"""

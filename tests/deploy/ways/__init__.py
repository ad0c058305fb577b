"""Package, image, chart and composition, checked with the tools of deploy/tools.txt: `make test-ways`."""

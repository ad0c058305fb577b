"""The demo: the whole pipeline on real servers, with recorded calls flowing to the fake CRMs."""

"""A number erased: `cel2crm erase`. What holds it, what is done about it, and what nobody can do (docs/privacy.md).

    search.py       pure: whether bytes, a text or a record hold the number
    inventory.py    what stands on the topics now, counted; calls, deliveries and letters that are to be changed
    readings.py     each kind of topic read for it
    remains.py      pure: when Kafka has removed what cannot be changed, by the topics' own settings
    carrying_out.py the hash made known, commands to delivery workers, results and legs written anew, letters dropped
    cluster.py      the brokers: settings of topics, whether aggregate workers run
    waiting.py      whether delivery workers have carried out what they were ordered
    plan.py         pure: what would be done, for people and for machines
    erasing.py      one erasure, from its inventory to its certificate
    certificate.py  pure: what was done, and what remains, for people and for machines

Nothing is remembered of an erasure but the keyed hash: what is left to be done is read from the topics each time. So
one that was killed in the middle is given again, and one that is given twice does nothing the second time.
"""

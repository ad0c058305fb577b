"""The acts of operators, as functions: the commands call them, and so can a console. Nothing here imports a worker.

connection            the topics, and the codec of their records: what every function is given
call_reference        calls as people name them
dead_letters          dead letters: filtered, grouped, and the command that recovers each (pure)
dead_letter_topic     their topic, read
resolutions           what was done about them: a topic of its own
recovery_plan         the plan of a retry or a drop: exactly what a person confirms
dead_letter_commands  plans carried out; calls ordered to be delivered
deliveries            the delivery logs in numbers, and one call's history
portal_states         what is recorded of portals; a disabled one enabled
portal_status         how portals are let in, and which calls wait for them
token_store           the stored OAuth tokens, opened
status/               what stands still, why, and what to do next
unmatched_extensions  extensions without a person in the CRM
results               the newest results of calls, and the portals that get them
backfill              whole calls from the PBX's table again
cel_table             that table, read
dead_letter_view, delivery_view, labels, masking   the words and the JSON of all this; what may be shown
"""

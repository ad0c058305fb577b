"""From a call's result to the next request to a CRM: pure functions, no I/O, no clock.

routing, eligibility             which portal gets a call, and why one gets none
record                           the state of one call's delivery, as it stands in the delivery log
digest                           what is kept in memory of a delivery that is over, in a header of its record
stored_result                    the call's result inside that record
plan                             a CRM's steps, and a portal's times
events, answers                  what happens to a delivery; what the end of a request proves
machine                          `(state, event) -> (state, effects)`: begin, advance, the state diagram
follow_ups                       what is done beside a call once it is in the CRM, such as its recording
requests, lookups, transitions   the machine's rules: a request and its answer; unknown outcomes; what both share
versions                         later versions of a call's result
command_record, commands         an operator's command as a record; the delivery after it
portal_records                   since when a portal is served
"""

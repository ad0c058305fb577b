"""The command line: one module a command, with its options and its words; what it does is in the rooms below.

main, command_line          the application; only the command that was asked for is imported
classify/  explain  capture rows in, outcomes, a story or a case out; no server needed
rules/                      the tables in force, checked and compared
status                      what stands still, why, and what to do next
connectors  topics          the capture and the topics, applied and shown
worker                      the long-running parts
deliveries  deliver         where deliveries stand; an order to deliver
dead_letters  backfill      what could not be processed, and calls that are read again
portal/                     the accounts at the CRMs
verdict_line                that of status, in one line of other commands
options  filter_options     options that several commands have
option_group                a dataclass of options as parameters of a command
row_sources                 where rows come from
connected  prompts          one connection for a command that asks; questions and progress bars
logging_setup               silence of libraries
"""

"""`cel2crm status`: what stands still, why, and what to do next.

facts           what was seen of an installation, and which questions stayed without an answer
gather          all questions, asked at once, each bounded in time
capture         the questions about capture: connector, heartbeat, database, rows behind
progress        the questions about workers: who holds which partitions, which record waits longest
patience        a second look where the first one cannot tell work under way from work that stands still
findings        facts become findings (pure); of_capture, of_workers, of_deliveries: their parts
verdict         findings become one line and an exit status (pure)
view            all of it as lines and as JSON
bounded         an event loop that ends when it should, whatever hangs in it
"""

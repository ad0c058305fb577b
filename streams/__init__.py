"""cel2crm: every phone call that Asterisk logs becomes one precise outcome, on Kafka and in each CRM."""

"""Pages of notifications: the bell's list, settings, channels, deliveries, and the links of mails."""

"""The SIP protocol without I/O and without a clock: messages, transactions, dialogs, user agent."""

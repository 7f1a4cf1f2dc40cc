"""The Train panel's controller and its parts; no Qt here."""

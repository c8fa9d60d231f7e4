"""Every knob of the process: its unit in its name, its default beside it.

settings      all of them, and what of them cannot be used together
connections   what clients' connections and streams may take
reading       how the environment is read
audit         what `bff audit` is told as well: the database, and the secrets of the audit log

Limits, rates, origins, TLS and the services' own settings stand beside what they set. All are read once, in
`bff/main.py`. The names of the services' addresses are those of the old deployment (`INTEGRATIONS_URL`, …);
everything else is `BFF_…`, nested with two underscores: `BFF_REFUND_ENGINE__TIMEOUT_S=1.5`. A misspelt `BFF_`
name stops the start; `bff dev` only tells of it.
"""

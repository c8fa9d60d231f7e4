"""The same answers without GraphQL, as a good engineer writes them in a week: the measure of what is possible."""

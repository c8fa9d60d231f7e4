"""The integrations service: connections, syncs, findings ("detections") and filing cases ("disputes")."""

-- Functions that act with their owner's rights are for those who were granted them: docs/privileges.md.
-- Triggers fire for everybody who may insert; this keeps them off other people's tables.
REVOKE ALL ON FUNCTION pgq_fan_out, pgq_take_key, pgq_enqueue, pgq_wake, pgq_current_epoch FROM PUBLIC;

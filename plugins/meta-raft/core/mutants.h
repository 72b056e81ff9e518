/* mutants: named bugs that a test build can switch on one at a time, to prove that the simulation would notice them.
 * Without RC_MUTANTS every one of them is the constant false and costs nothing; it must never be defined for anything
 * that is shipped. */
#ifndef CHRONIK_RAFTCORE_MUTANTS_H
#define CHRONIK_RAFTCORE_MUTANTS_H

#define RC_MUTANT_LIST(X)                                                                                              \
    X(VOTE_FORGOTTEN, "a granted vote is not remembered")                                                              \
    X(VOTE_BEFORE_SYNC, "a vote leaves before the sync")                                                               \
    X(APPEND_REPLY_BEFORE_SYNC, "an append is acknowledged before the sync")                                           \
    X(SYNC_NOT_ASKED, "a ready with a new term or vote does not ask for a sync")                                       \
    X(OWN_UNSYNCED_COUNTED, "a leader counts its own entries before they are durable")                                 \
    X(LEADS_WITHOUT_OWN_VOTE, "a candidate leads before its own term is durable")                                      \
    X(OLD_TERM_COMMIT, "entries of an older term are committed by counting")                                           \
    X(NO_FIRST_ENTRY, "a new leader appends no entry of its own term")                                                 \
    X(NO_TRUNCATION, "a conflicting suffix is kept")                                                                   \
    X(ALWAYS_TRUNCATE, "a matching suffix is cut by an old append")                                                    \
    X(ACK_WITHOUT_TERM, "a write's acknowledgement counts although the term has moved")                                \
    X(ACK_WITHOUT_MATCH, "a write's acknowledgement counts for an entry that was replaced")                            \
    X(SNAPSHOT_OVER_NEWER, "an old snapshot replaces a newer log")                                                     \
    X(SNAPSHOT_KEEPS_CONF, "a snapshot does not bring its configuration")                                              \
    X(CAMPAIGN_WHILE_INSTALLING, "a replica campaigns while a snapshot is being installed")                            \
    X(COMMIT_BEYOND_MATCH, "heartbeats carry a commit index that the follower may not match")                          \
    X(COMMIT_BEYOND_SENT, "an append raises commit above the entries it carried")                                      \
    X(VOTE_FOR_SHORTER_LOG, "a vote is given to a candidate that lacks entries")                                       \
    X(SECOND_VOTE, "a second vote is given in a term")                                                                 \
    X(JOINT_COMMIT_ONE_HALF, "a joint configuration commits with the incoming half alone")                             \
    X(JOINT_VOTE_ONE_HALF, "a joint configuration elects with the incoming half alone")                                \
    X(LEARNER_COUNTED, "learners count for commit")                                                                    \
    X(READ_WITHOUT_QUORUM, "reads are answered without asking a quorum")                                               \
    X(READ_BEFORE_FIRST_COMMIT, "reads are answered before the term's first commit")                                   \
    X(READ_SURVIVES_TERM, "reads of an earlier term are confirmed in a later one")                                     \
    X(APPLY_UNPERSISTED, "entries are handed out for apply before they are durable here")                              \
    X(SECOND_CONF_CHANGE, "a second configuration change enters while one is unapplied")                               \
    X(CAMPAIGN_BEFORE_APPLY, "a replica campaigns with a committed change unapplied")                                  \
    X(CONF_APPLIED_TWICE, "a configuration change is carried out although a snapshot has brought it")                  \
    X(LEADER_LINGERS, "a leader without a quorum goes on")                                                             \
    X(STALE_REPLY_COUNTED, "an append reply of an older term is counted")                                              \
    X(OLD_LEADER_OBEYED, "an append of an older term is taken")                                                        \
    X(WINDOW_NEVER_FREED, "acknowledged appends stay in the window")                                                   \
    X(PAUSED_FOR_EVER, "a heartbeat reply does not resume a paused member")                                            \
    X(SNAPSHOT_NEVER_REPORTED, "the end of a snapshot transfer is ignored")                                            \
    X(UNCOMMITTED_NEVER_REDUCED, "applied bytes still count as uncommitted")                                           \
    X(COMMITTED_NO_READY, "committed entries alone make no ready")                                                     \
    X(APPLIED_TWICE, "an entry is handed out twice")                                                                   \
    X(NO_AUTO_LEAVE, "a joint configuration is never left")

enum rc_mutant {
    RC_MUTANT_NONE,
#define X(name, text) RC_MUTANT_##name,
    RC_MUTANT_LIST(X)
#undef X
        RC_MUTANT_END
};

#ifdef RC_MUTANTS
extern enum rc_mutant rc_mutant; /* the only global of the test build */
#define RC_MUTANT(name) (rc_mutant == RC_MUTANT_##name)
#else
#define RC_MUTANT(name) (0)
#endif

#endif

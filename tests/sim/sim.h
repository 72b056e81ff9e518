/* sim.h: a virtual world for the broker and its modules: clock, executors, disks and network of several nodes in one
 * thread, chosen by one seed. One seed, one run: the same code with the same seed takes the same steps and ends with
 * the same sim_hash. A node is a `struct os *`, used through os/os.h as the real one is. README.md has an example.
 *
 * Dying. sim_kill, os_exit and a power cut end a node: its executors vanish, its handles are dead (using one asserts),
 * the code that was running is left by longjmp, and its memory is lost: what it had allocated leaks. Run many deaths in
 * child processes (sim_seeds does). Code that may die outside a task must be entered through sim_call. */
#ifndef CHRONIK_SIM_H
#define CHRONIK_SIM_H

#include "os/os.h"

#define SIM_US INT64_C(1000)
#define SIM_MS INT64_C(1000000)
#define SIM_S  INT64_C(1000000000)

struct sim_world;
struct sim_copy;

/* ---- the world ---- */

struct sim_world *sim_world_new(uint64_t seed);
void sim_world_free(struct sim_world *w);
/* Makes a node that is up, with an empty disk ("/" and the working directory are its root). The name is also its host
 * name for os_listen and os_connect; "127.0.0.1", "localhost" and "[::1]" are the node itself. At most 32. */
struct os *sim_node(struct sim_world *w, const char *name);

enum sim_end {
    SIM_TRUE,  /* the predicate holds */
    SIM_IDLE,  /* nothing is left to do and no timer is armed */
    SIM_TIME,  /* the time is over */
    SIM_STEPS, /* the steps are used up: a livelock, or too small a bound */
};
/* Runs tasks until pred(arg) (may be NULL) holds, virtual time reaches `until`, or `max_steps` (0 = no bound) ran. */
enum sim_end sim_run(struct sim_world *w, int64_t until_ns, uint64_t max_steps, bool (*pred)(void *arg), void *arg);
/* sim_run for that much virtual time. */
enum sim_end sim_run_for(struct sim_world *w, int64_t ns);
/* Calls fn(arg) at that virtual time, outside any node: the place to cut, heal and kill from. */
void sim_at(struct sim_world *w, int64_t when_ns, void (*fn)(void *arg), void *arg);
/* Runs fn(arg) as the main thread of a node. False when the node died meanwhile (fn was left at once). */
bool sim_call(struct os *os, void (*fn)(void *arg), void *arg);

int64_t sim_now(struct sim_world *w); /* virtual ns since the world began */
uint64_t sim_steps(struct sim_world *w);
uint64_t sim_seed(struct sim_world *w);
/* Of every step, disk operation, delivery and note so far. */
uint64_t sim_hash(struct sim_world *w);
/* A line of the trace; it is part of the hash. CHRONIK_SIM_TRACE=1 in the environment prints the trace. Log lines of
 * the core (base/log.h) are notes too, in virtual time, of the newest world. */
void sim_note(struct sim_world *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
/* A number below n by the test's own stream of the seed: using it does not disturb the world's choices. */
uint64_t sim_rand(struct sim_world *w, uint64_t n);
/* From here on that stream is the one of the seed and this number, whatever was drawn before: what is left out of a run
 * shifts nothing behind it. */
void sim_rand_from(struct sim_world *w, uint64_t number);

/* How adversarial the scheduler is: in `permille` of the steps the executor that ran stalls for up to `max_ns`.
 * Default 4, 5 ms. */
void sim_stalls(struct sim_world *w, unsigned permille, int64_t max_ns);

/* The process gets no processor for so long, as if it were stopped; its connections stay. */
void sim_pause(struct os *os, int64_t ns);
/* The thread whose code runs loses the processor for so long, in the middle of its task: others run meanwhile, of its
 * node too, but nothing else of its executor. To be called where a thread may block, without a lock; not too deep.
 * `look` runs after each of the steps. */
void sim_yield(struct sim_world *w, int64_t ns, bool (*look)(void *arg));
/* The node whose code runs at this moment; NULL: none. */
struct os *sim_running(struct sim_world *w);

/* ---- clocks: mono runs (1 + ppm / 10^6) times as fast from now on; the wall clock jumps ---- */
void sim_clock_drift(struct os *os, int32_t ppm);
void sim_clock_jump(struct os *os, int64_t wall_ms);

/* ---- life and death ---- */

bool sim_up(struct os *os);
int sim_exit_code(struct os *os); /* of os_exit; -9 after sim_kill, -1 after a power cut */
/* kill -9: the page cache stays, a submitted write in flight may have happened in part, peers see resets. */
void sim_kill(struct os *os);
/* Power off: of everything not synced a random part survives (DESIGN 8); peers see silence; another boot id. */
void sim_power_cut(struct os *os);
/* The machine is on again and the process may start: the caller opens its executors and modules anew. */
void sim_restart(struct os *os);

/* Every operation that changes the disk (write, sync, directory sync, create, rename, unlink, truncate, allocate,
 * mkdir, rmdir) has a number, from 1 on. */
uint64_t sim_io_count(struct os *os);
/* Power fails (or the process dies) inside operation number k, which may have happened in part. 0: never. */
void sim_cut_at(struct os *os, uint64_t k);
void sim_kill_at(struct os *os, uint64_t k);

/* ---- the disk: also os_fault_set and os_fault_add of os/os.h, for the n-th call ---- */

/* Calls of that kind (OS_FAULT_) fail at random. A sync that fails leaves its pages marked clean: their content is lost
 * at the next power cut, and a later sync that succeeds does not save them. */
void sim_disk_fail(struct os *os, int op, unsigned permille, int32_t code);
/* Bytes the disk holds (in pages of 4096); beyond: E_NOSPC. UINT64_MAX: unlimited, the default. */
void sim_disk_budget(struct os *os, uint64_t bytes);
/* Flips one bit, for good. E_NOTFOUND, E_RANGE beyond the end. */
int32_t sim_disk_flip(struct os *os, const char *path, uint64_t bit);
/* Permille of sectors that survive a cut only as a prefix of new bytes before old ones. Default 0. */
void sim_disk_tear(struct os *os, unsigned permille);
/* Submitted writes and syncs take a random time up to these. Default 50 us, 2 ms. */
void sim_disk_latency(struct os *os, int64_t write_ns, int64_t sync_ns);
/* Mutants, to prove that a power-cut test notices: sync and directory sync say yes and do nothing. */
void sim_mutant_sync_noop(struct os *os, bool on);
void sim_mutant_sync_dir_noop(struct os *os, bool on);
/* Everything on the disk is durable, as after a long quiet time. */
void sim_disk_settle(struct os *os);

/* One bit of any file flips, for good, in the cache as on the disk. False: nothing is there. */
bool sim_disk_rot(struct os *os);
/* The nth write from now on succeeds and lands elsewhere on the disk; 0: none. How many have. */
void sim_disk_misdirect(struct os *os, uint64_t nth);
uint64_t sim_disk_misdirected(struct os *os);
/* A copy of all files of a node that is down, and the way back to it, durable. */
struct sim_copy *sim_disk_save(struct os *os);
void sim_disk_load(struct os *os, const struct sim_copy *c);
void sim_copy_free(struct sim_copy *c);

/* ---- the network ---- */

/* One-way delay of every delivery between different nodes, and within one. Default 50-500 us, 5-20 us. */
void sim_net_latency(struct sim_world *w, int64_t min_ns, int64_t max_ns);
/* Nothing gets from one node to the other while cut; TCP retransmits after healing. One way. */
void sim_net_cut(struct os *from, struct os *to, bool cut);
/* Both ways, between one node and all others. */
void sim_net_isolate(struct os *node, bool cut);
/* Resets every connection between the two (which may be the same node); gives their number. */
unsigned sim_net_reset(struct os *a, struct os *b);
/* How much of a send is taken and of a receive is given at once is random up to this. Default 65536. */
void sim_net_chunk(struct sim_world *w, uint32_t bytes);
/* Descriptors a node may have (files and sockets). Default 20000. */
void sim_file_limit(struct os *os, uint64_t n);

/* ---- many seeds ---- */

/* Runs fn(seed) for n seeds from `from` on, 64 of them in each child process, up to two children at a time. Gives the
 * number of seeds that failed (asserted, crashed, or exited); each is printed with the command that repeats it; after
 * eight it gives up. CHRONIK_SIM_SEED=S in the environment runs that seed alone, in this process. */
unsigned sim_seeds(const char *what, uint64_t from, uint64_t n, void (*fn)(uint64_t seed));
/* The lowest seed that the last call of sim_seeds saw fail; there must be one. */
uint64_t sim_seeds_failed(void);

#endif

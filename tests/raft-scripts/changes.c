/* changes: the commands of the confchange scripts (simple, enter-joint, leave-joint) on a bare tracker, and the
 * notation of changes ("v1 l2 r3 u4"). It must never repair a change that the core refuses. Single-threaded test code.
 */
#include "env.h"

#include <stdio.h>
#include <string.h>

static bool known_op(char letter, enum rc_conf_op *op)
{
    static const char letters[] = "vrul";
    const char *at = letter == '\0' ? NULL : strchr(letters, letter);

    if (at == NULL) {
        return false;
    }
    *op = (enum rc_conf_op)(at - letters);
    return true;
}

/* NULL, or the published text of what is wrong with the input. */
const char *change_parse(const char *input, struct rc_conf_change *out, char *error, size_t error_size)
{
    const char *at = input;

    memset(out, 0, sizeof *out);
    while (*at != '\0') {
        size_t n = strcspn(at, " ");
        char token[64];
        enum rc_conf_op op;
        uint64_t id;

        snprintf(token, sizeof token, "%.*s", (int)n, at);
        at += n + (at[n] == ' ');
        if (n < 2) {
            snprintf(error, error_size, "unknown token %s", token);
            return error;
        }
        if (!known_op(token[0], &op)) {
            snprintf(error, error_size, "unknown input: %s", token);
            return error;
        }
        if (!script_number(token + 1, &id)) {
            snprintf(error, error_size, "strconv.ParseUint: parsing \"%s\": invalid syntax", token + 1);
            return error;
        }
        if (out->n == RC_MAX_CHANGES) {
            return "too many operations";
        }
        out->v[out->n].op = op;
        out->v[out->n].id = id;
        out->n++;
    }
    return NULL;
}

static const char *run(struct env *e, const struct script_case *c, const struct rc_conf_change *change)
{
    const struct script_arg *leave = script_find(c, "autoleave");
    bool auto_leave = false;

    if (strcmp(c->command, "simple") == 0) {
        return rc_tracker_simple(&e->tracker, change, e->tracker_last);
    }
    if (strcmp(c->command, "leave-joint") == 0) {
        return change->n > 0 ? "this command takes no input" : rc_tracker_leave_joint(&e->tracker);
    }
    if (leave != NULL && (leave->n_vals != 1 || !script_bool(leave->vals[0], &auto_leave))) {
        env_break(e, "autoleave wants true or false");
    }
    return rc_tracker_enter_joint(&e->tracker, change, auto_leave, e->tracker_last);
}

bool change_command(struct env *e, const struct script_case *c)
{
    struct rc_conf_change change;
    char text[1024];
    const char *error;

    if (strcmp(c->command, "simple") != 0 && strcmp(c->command, "enter-joint") != 0 &&
        strcmp(c->command, "leave-joint") != 0) {
        return false;
    }
    error = change_parse(c->input, &change, text, sizeof text);
    if (error == NULL) {
        error = run(e, c, &change);
    }
    if (error != NULL) {
        text_printf(&e->out, "%s\n", error);
    } else {
        text_printf(&e->out, "%s\n", rc_conf_text(&e->tracker.conf, text, sizeof text));
        format_tracker(&e->out, &e->tracker);
    }
    e->tracker_last++;
    return true;
}

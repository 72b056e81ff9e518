/* check.c: whether one text is a legal value of one setting, in Kafka's words when it is not. Pure: no state, no
 * allocation, any thread. */
#include "config/config_impl.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

/* Blanks as Java's trim sees them. */
static bool blank(char c)
{
    return (unsigned char)c <= ' ';
}

bool config_list_next(const char **at, const char **item, size_t *len)
{
    const char *p = *at;
    if (!p)
        return false;
    while (*p && blank(*p))
        p++;
    const char *end = strchr(p, ',');
    *at = end ? end + 1 : NULL;
    if (!end)
        end = p + strlen(p);
    while (end > p && blank(end[-1]))
        end--;
    *item = p;
    *len = (size_t)(end - p);
    return *len > 0 || *at != NULL; /* the text behind a last comma, when empty, is no item */
}

static int32_t refuse(const struct config_def *d, const char *text, struct err *e, const char *why)
{
    return err_set(e, CHRONIK_E_INVAL, "Invalid value %s for configuration %s: %s",
                   d->s.sensitive ? "[hidden]" : (text ? text : "null"), d->s.name, why);
}

/* A double as Java prints it: 2.0, 2.147483648E9. */
static void java_double(double v, char *buf, size_t n)
{
    char digits[40];
    int precision = 0;
    do
        snprintf(digits, sizeof digits, "%.*e", precision, v);
    while (strtod(digits, NULL) != v && ++precision < 17);
    double size = fabs(v);
    if (isinf(v) || (v != 0 && (size < 1e-3 || size >= 1e7))) {
        char *e = strchr(digits, 'e');
        int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
        if (e)
            *e = 0;
        if (isinf(v))
            snprintf(buf, n, "%sInfinity", v < 0 ? "-" : "");
        else
            snprintf(buf, n, "%s%sE%d", digits, strchr(digits, '.') ? "" : ".0", exponent);
        return;
    }
    int places = 1;
    do
        snprintf(buf, n, "%.*f", places, v);
    while (strtod(buf, NULL) != v && ++places < 20);
}

static int32_t refuse_number(const struct config_def *d, const char *text, struct err *e)
{
    static const char *const names[] = {
        [CONFIG_INT] = "INT", [CONFIG_SHORT] = "SHORT", [CONFIG_LONG] = "LONG", [CONFIG_DOUBLE] = "DOUBLE"};
    char why[64];
    snprintf(why, sizeof why, "Not a number of type %s", names[d->s.type]);
    return refuse(d, text, e, why);
}

/* [start, start + len) of `text` without the blanks around it, NUL-terminated; false when it does not fit. */
static bool trimmed(const char *text, char *buf, size_t n)
{
    while (*text && blank(*text))
        text++;
    size_t len = strlen(text);
    while (len && blank(text[len - 1]))
        len--;
    if (len >= n)
        return false;
    memcpy(buf, text, len);
    buf[len] = 0;
    return true;
}

static bool parse_integer(const char *s, int64_t *out)
{
    const char *digits = s + (*s == '-' || *s == '+');
    if (!isdigit((unsigned char)*digits))
        return false;
    char *end;
    errno = 0;
    long long v = strtoll(s, &end, 10);
    if (errno || *end)
        return false;
    *out = v;
    return true;
}

static bool parse_double(const char *s, double *out)
{
    if (!*s || isspace((unsigned char)*s) || strpbrk(s, "xX"))
        return false;
    char *end;
    double v = strtod(s, &end);
    if (*end || isnan(v))
        return false;
    *out = v;
    return true;
}

static int32_t check_range(const struct config_def *d, const char *text, double v, bool whole, int64_t i, struct err *e)
{
    char why[80];
    if (d->rule == RULE_RANGE_OR_MINUS_1) {
        if (i == -1 || (i >= d->min && i <= d->max))
            return CHRONIK_DONE;
        snprintf(why, sizeof why, "Value must be between %lld and %lld or equal to -1", (long long)d->min,
                 (long long)d->max);
        return refuse(d, text, e, why);
    }
    if (whole ? i < d->min : v < (double)d->min) {
        snprintf(why, sizeof why, "Value must be at least %lld", (long long)d->min);
        return refuse(d, text, e, why);
    }
    if (whole ? i > d->max : v > (double)d->max) {
        snprintf(why, sizeof why, "Value must be no more than %lld", (long long)d->max);
        return refuse(d, text, e, why);
    }
    return CHRONIK_DONE;
}

static int32_t parse_number(const struct config_def *d, const char *text, struct config_value *v, struct err *e)
{
    static const int64_t low[] = {[CONFIG_INT] = INT32_MIN, [CONFIG_SHORT] = INT16_MIN, [CONFIG_LONG] = INT64_MIN};
    static const int64_t high[] = {[CONFIG_INT] = INT32_MAX, [CONFIG_SHORT] = INT16_MAX, [CONFIG_LONG] = INT64_MAX};
    char s[400];
    if (!trimmed(text, s, sizeof s))
        return refuse_number(d, text, e);
    if (d->s.type == CONFIG_DOUBLE) {
        if (!parse_double(s, &v->f))
            return refuse_number(d, text, e);
        char shown[40];
        java_double(v->f, shown, sizeof shown);
        return d->rule == RULE_NONE ? CHRONIK_DONE : check_range(d, shown, v->f, false, 0, e);
    }
    if (!parse_integer(s, &v->i) || v->i < low[d->s.type] || v->i > high[d->s.type])
        return refuse_number(d, text, e);
    return check_range(d, s, 0, true, v->i, e);
}

static int32_t parse_boolean(const struct config_def *d, const char *text, struct config_value *v, struct err *e)
{
    char s[8];
    if (trimmed(text, s, sizeof s)) {
        v->i = strcasecmp(s, "true") == 0;
        if (v->i || strcasecmp(s, "false") == 0)
            return CHRONIK_DONE;
    }
    return refuse(d, text, e, "Expected value to be either true or false");
}

static bool among(const char *choices, const char *item, size_t len, bool any_case)
{
    const char *choice;
    size_t n;
    while (config_list_next(&choices, &choice, &n))
        if (n == len && (any_case ? strncasecmp(choice, item, n) : strncmp(choice, item, n)) == 0)
            return true;
    return false;
}

static int32_t refuse_choice(const struct config_def *d, const char *text, struct err *e)
{
    char why[256], bare[256];
    if (trimmed(text, bare, sizeof bare))
        text = bare;
    snprintf(why, sizeof why, "String must be one of%s: %s",
             d->rule == RULE_CHOICE_ANY_CASE ? " (case insensitive)" : "", d->choices);
    return refuse(d, text, e, why);
}

/* "partition:broker", both numbers. */
static bool is_replica(const char *item, size_t len)
{
    size_t i = 0, colons = 0, digits = 0;
    for (; i < len; i++) {
        if (item[i] == ':') {
            if (!digits)
                return false;
            colons++;
            digits = 0;
        } else if (isdigit((unsigned char)item[i])) {
            digits++;
        } else {
            return false;
        }
    }
    return colons == 1 && digits > 0;
}

static int32_t refuse_replicas(const struct config_def *d, const char *text, struct err *e)
{
    char why[256], list[256] = "[";
    const char *item;
    size_t len, used = 1;
    while (config_list_next(&text, &item, &len) && used + len + 4 < sizeof list)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s", used > 1 ? ", " : "", (int)len, item);
    snprintf(list + used, sizeof list - used, "]");
    snprintf(why, sizeof why,
             "%s must be the literal '*' or a list of replicas in the following format: "
             "[partitionId]:[brokerId],[partitionId]:[brokerId],...",
             d->s.name);
    return refuse(d, list, e, why);
}

/* Whether the last item is an empty one, which config_list_next passes over. */
static bool ends_with_comma(const char *text)
{
    const char *end = text + strlen(text);
    while (end > text && blank(end[-1]))
        end--;
    return end > text && end[-1] == ',';
}

/* Of a list of choices no item may be empty; one that is there twice does no harm. */
static int32_t check_choices(const struct config_def *d, const char *text, struct err *e)
{
    bool empty = false;
    const char *at = text, *item;
    size_t len;
    while (!empty && config_list_next(&at, &item, &len)) {
        empty = len == 0;
        if (!empty && !among(d->choices, item, len, false)) {
            char one[128];
            snprintf(one, sizeof one, "%.*s", (int)min_size(len, sizeof one - 1), item);
            return refuse_choice(d, one, e);
        }
    }
    if (empty || ends_with_comma(text))
        return err_set(e, CHRONIK_E_INVAL, "Configuration '%s' values must not be empty.", d->s.name);
    return CHRONIK_DONE;
}

static int32_t check_list(const struct config_def *d, const char *text, struct err *e)
{
    const char *at = text, *item;
    size_t len;
    if (d->rule == RULE_CHOICE)
        return check_choices(d, text, e);
    while (config_list_next(&at, &item, &len)) {
        if (d->rule == RULE_ITEMS_NON_EMPTY && len == 0)
            return refuse(d, text, e, "items of the list must not be empty");
        if (d->rule == RULE_REPLICAS && !(len == 1 && *item == '*') && !is_replica(item, len))
            return refuse_replicas(d, text, e);
    }
    return CHRONIK_DONE;
}

/* An ISO 8601 duration, PnDTnHnMn.nS, roughly: P, then at least one number with its unit. */
static bool is_duration(const char *s)
{
    if (*s++ != 'P')
        return false;
    bool time = false, any = false;
    while (*s) {
        if (*s == 'T' && !time) {
            time = true;
            any = false;
            s++;
            continue;
        }
        size_t digits = strspn(s, "0123456789");
        s += digits;
        if (time && *s == '.') {
            size_t fraction = strspn(++s, "0123456789");
            if (!fraction || s[fraction] != 'S')
                return false;
            s += fraction;
        }
        if (!digits || !*s || !strchr(time ? "HMS" : "D", *s))
            return false;
        any = true;
        s++;
    }
    return any;
}

static int32_t check_string(const struct config_def *d, const char *text, struct err *e)
{
    switch ((enum config_rule)d->rule) {
    case RULE_CHOICE:
    case RULE_CHOICE_ANY_CASE:
        if (!among(d->choices, text, strlen(text), d->rule == RULE_CHOICE_ANY_CASE))
            return refuse_choice(d, text, e);
        return CHRONIK_DONE;
    case RULE_NON_EMPTY:
        return *text ? CHRONIK_DONE : refuse(d, text, e, "String must be non-empty");
    case RULE_OFFSET_RESET:
        if (strcmp(text, "latest") == 0 || strcmp(text, "earliest") == 0 ||
            (strncmp(text, "by_duration:", 12) == 0 && is_duration(text + 12)))
            return CHRONIK_DONE;
        return refuse(d, text, e, "want latest, earliest or by_duration:PnDTnHnMn.nS");
    default:
        return CHRONIK_DONE;
    }
}

int32_t config_value_parse(const struct config_def *d, const char *text, struct config_value *out, struct err *e)
{
    struct config_value local, *v = out ? out : &local;
    *v = (struct config_value){.text = text};
    if (!text) {
        if (d->s.dflt)
            return refuse(d, NULL, e, "Value must be non-null");
        return CHRONIK_DONE;
    }
    switch ((enum config_type)d->s.type) {
    case CONFIG_BOOLEAN:
        return parse_boolean(d, text, v, e);
    case CONFIG_INT:
    case CONFIG_SHORT:
    case CONFIG_LONG:
    case CONFIG_DOUBLE:
        return parse_number(d, text, v, e);
    case CONFIG_LIST:
        return check_list(d, text, e);
    case CONFIG_STRING:
    case CONFIG_CLASS:
    case CONFIG_PASSWORD:
        return check_string(d, text, e);
    }
    CHECK(!"type of a setting");
    return CHRONIK_E_INVAL;
}

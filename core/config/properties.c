/* properties.c: Java's properties format, as server.properties is written: logical lines joined by a backslash at the
 * end, comments with # or !, key and value parted by =, : or blanks, escapes \t \n \r \f \uXXXX. It only splits texts
 * into pairs; what a pair means is decided by sources.c. Text is taken as UTF-8. Trailing blanks of a value are
 * dropped.
 */
#include "config/config_impl.h"
#include "config/properties.h"

#include <stdlib.h>

struct scanner {
    const char *p, *end;
    int line; /* of *p, from 1 */
    const char *path;
};

static bool is_blank(char ch)
{
    return ch == ' ' || ch == '\t' || ch == '\f';
}

static bool is_eol(char ch)
{
    return ch == '\n' || ch == '\r';
}

static void skip_eol(struct scanner *s)
{
    if (s->p == s->end)
        return;
    bool cr = *s->p == '\r';
    s->p++;
    if (cr && s->p < s->end && *s->p == '\n')
        s->p++;
    s->line++;
}

static void skip_blanks(struct scanner *s)
{
    while (s->p < s->end && is_blank(*s->p))
        s->p++;
}

/* At a backslash before an end of line (or of the text): goes to the first non-blank of the next line. */
static bool skip_continuation(struct scanner *s)
{
    if (*s->p != '\\' || (s->p + 1 < s->end && !is_eol(s->p[1])))
        return false;
    s->p++;
    skip_eol(s);
    skip_blanks(s);
    return true;
}

static int hex_digit(char ch)
{
    if (ch >= '0' && ch <= '9')
        return ch - '0';
    if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'f')
        return (ch | 0x20) - 'a' + 10;
    return -1;
}

/* The four digits of \uXXXX at `p`; -1 when there are not four. */
static int32_t hex4(const char *p, const char *end)
{
    int32_t v = 0;
    for (int i = 0; i < 4; i++) {
        int d = p + i < end ? hex_digit(p[i]) : -1;
        if (d < 0)
            return -1;
        v = v << 4 | d;
    }
    return v;
}

static size_t put_utf8(char *out, uint32_t u)
{
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    size_t extra = u < 0x800 ? 1 : u < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[0] = (char)(lead[extra] | u >> (6 * extra));
    for (size_t i = 1; i <= extra; i++)
        out[i] = (char)(0x80 | ((u >> (6 * (extra - i))) & 0x3f));
    return extra + 1;
}

static int32_t bad_escape(struct scanner *s, const char *what, struct err *e)
{
    return err_set(e, CHRONIK_E_INVAL, "%s:%d: %s", s->path, s->line, what);
}

/* At \u: appends the character (a surrogate pair is one). */
static int32_t take_unicode(struct scanner *s, char *out, size_t *len, struct err *e)
{
    int32_t u = hex4(s->p + 2, s->end);
    if (u < 0)
        return bad_escape(s, "malformed \\uxxxx escape: four hexadecimal digits must follow \\u", e);
    s->p += 6;
    if (u >= 0xd800 && u < 0xdc00) {
        int32_t low = s->p + 1 < s->end && s->p[0] == '\\' && s->p[1] == 'u' ? hex4(s->p + 2, s->end) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return bad_escape(s, "malformed \\uxxxx escape: half of a surrogate pair is missing", e);
        s->p += 6;
        u = 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
    } else if (u >= 0xdc00 && u < 0xe000) {
        return bad_escape(s, "malformed \\uxxxx escape: half of a surrogate pair is missing", e);
    }
    if (u == 0)
        return bad_escape(s, "a NUL character cannot be part of a setting", e);
    *len += put_utf8(out + *len, (uint32_t)u);
    return CHRONIK_DONE;
}

/* Appends the character at *p, which may be an escape, to out (which has room for the whole line). */
static int32_t take_char(struct scanner *s, char *out, size_t *len, struct err *e)
{
    char ch = *s->p;
    if (ch == 0)
        return bad_escape(s, "a NUL byte: this is not a text file", e);
    if (ch != '\\') {
        out[(*len)++] = ch;
        s->p++;
        return CHRONIK_DONE;
    }
    if (s->p + 1 == s->end) {
        s->p++;
        return CHRONIK_DONE;
    }
    static const char names[] = "tnrf", chars[] = "\t\n\r\f";
    char name = s->p[1];
    if (name == 'u')
        return take_unicode(s, out, len, e);
    const char *known = name ? strchr(names, name) : NULL;
    if (name == 0)
        return bad_escape(s, "a NUL byte: this is not a text file", e);
    out[(*len)++] = known ? chars[known - names] : name;
    s->p += 2;
    return CHRONIK_DONE;
}

/* Appends characters until an end of line, or for a key until an unescaped separator. */
static int32_t take_until(struct scanner *s, bool key, char *out, size_t *len, struct err *e)
{
    while (s->p < s->end && !is_eol(*s->p)) {
        if (key && (is_blank(*s->p) || *s->p == '=' || *s->p == ':'))
            break;
        if (skip_continuation(s))
            continue;
        int32_t r = take_char(s, out, len, e);
        if (r < 0)
            return r;
    }
    return CHRONIK_DONE;
}

/* Blanks, at most one = or :, blanks; continued lines count as blanks. */
static void skip_separator(struct scanner *s)
{
    bool seen = false;
    while (s->p < s->end && !is_eol(*s->p)) {
        if (is_blank(*s->p)) {
            s->p++;
        } else if (!seen && (*s->p == '=' || *s->p == ':')) {
            seen = true;
            s->p++;
        } else if (!skip_continuation(s)) {
            return;
        }
    }
}

static int32_t take_pair(struct scanner *s, char *buf, properties_pair_fn each, void *arg, struct err *e)
{
    int line = s->line;
    size_t key_len = 0, value_len = 0;
    int32_t r = take_until(s, true, buf, &key_len, e);
    if (r < 0)
        return r;
    skip_separator(s);
    char *value = buf + key_len + 1;
    r = take_until(s, false, value, &value_len, e);
    if (r < 0)
        return r;
    while (value_len && (unsigned char)value[value_len - 1] <= ' ')
        value_len--;
    buf[key_len] = 0;
    value[value_len] = 0;
    return each(arg, line, buf, value, e);
}

int32_t properties_parse(const char *path, const char *text, size_t len, properties_pair_fn each, void *arg,
                         struct err *e)
{
    struct scanner s = {.p = text, .end = text + len, .line = 1, .path = path};
    char *buf = malloc(len + 2); /* no escape is longer than what it stands for */
    if (!buf)
        return err_set(e, CHRONIK_E_NOMEM, "%s: out of memory", path);
    int32_t r = CHRONIK_DONE;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        s.p += 3; /* a byte order mark, as some editors leave it */
    while (s.p < s.end && r >= 0) {
        skip_blanks(&s);
        if (s.p == s.end)
            break;
        if (is_eol(*s.p)) {
            skip_eol(&s);
        } else if (*s.p == '#' || *s.p == '!') {
            while (s.p < s.end && !is_eol(*s.p))
                s.p++;
        } else if (!skip_continuation(&s)) {
            r = take_pair(&s, buf, each, arg, e);
        }
    }
    free(buf);
    return r;
}

/* test_pure.c: subscriptions and the slots of groups. */
#include "coord/internal.h"
#include "coord/subscription.h"

#include <check.h>
#include <stdlib.h>

struct names {
    char text[64];
    int n, most;
};

static bool collect(void *arg, struct wire_str topic)
{
    struct names *x = arg;
    strncat(x->text, topic.p, (size_t)topic.n);
    strcat(x->text, ",");
    return ++x->n < x->most;
}

static const uint8_t two[] = {0, 3, 0, 0, 0, 2, 0, 1, 'a', 0, 2, 'b', 'c', 1, 2, 3};

START_TEST(topics_are_read_whatever_the_version_says_after_them)
{
    struct names x = {.most = 9};
    ck_assert(subscription_topics(two, sizeof two, collect, &x));
    ck_assert_str_eq(x.text, "a,bc,");
    x = (struct names){.most = 1};
    ck_assert(subscription_topics(two, sizeof two, collect, &x));
    ck_assert_str_eq(x.text, "a,");
}
END_TEST

START_TEST(bytes_that_end_early_are_no_subscription)
{
    for (size_t n = 0; n < 13; n++) {
        struct names x = {.most = 9};
        uint8_t *copy = malloc(n + 1); /* so that a sanitizer sees reads beyond */
        memcpy(copy, two, n);
        uint8_t *fit = realloc(copy, n ? n : 1);
        ck_assert_msg(!subscription_topics(fit, n, collect, &x), "%zu bytes were enough", n);
        free(fit);
    }
    static const uint8_t many[] = {0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0}, negative[] = {0, 0, 0, 0, 0, 1, 0xff, 0xff};
    struct names x = {.most = 9};
    ck_assert(!subscription_topics(many, sizeof many, collect, &x));
    ck_assert(!subscription_topics(negative, sizeof negative, collect, &x));
}
END_TEST

START_TEST(groups_are_in_the_slots_that_kafka_puts_them_in)
{
    struct coord c = {.o = {.slots = 50}};
    /* abs(hashCode) % 50, as Java computes it. */
    static const struct {
        const char *group;
        uint32_t slot;
    } known[] = {{"", 0},
                 {"g", 3},                  /* 103 */
                 {"test-group", 12},        /* 627841412 */
                 {"polygenelubricants", 0}, /* -2147483648 */
                 {"\xc3\xa9", 33},          /* U+00E9: 233 */
                 {"\xf0\x9f\x98\x80", 49}}; /* a surrogate pair */
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        ck_assert_msg(coord_slot_of(&c, wire_str(known[i].group)) == known[i].slot, "%s is in %u", known[i].group,
                      coord_slot_of(&c, wire_str(known[i].group)));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("coord");
    TCase *t = tcase_create("pure");
    tcase_add_test(t, topics_are_read_whatever_the_version_says_after_them);
    tcase_add_test(t, bytes_that_end_early_are_no_subscription);
    tcase_add_test(t, groups_are_in_the_slots_that_kafka_puts_them_in);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

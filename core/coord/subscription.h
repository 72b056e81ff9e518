/* subscription.h: reads the topics from a consumer's subscription. Pure; any bytes are safe. */
#ifndef CHRONIK_COORD_SUBSCRIPTION_H
#define CHRONIK_COORD_SUBSCRIPTION_H

#include "base/base.h"
#include "wire/wire.h"

/* Calls each(arg, topic) for every topic until it gives false. false: the bytes are no subscription. */
bool subscription_topics(const uint8_t *p, size_t n, bool (*each)(void *arg, struct wire_str topic), void *arg);

#endif

/* order.h: in which order requests of one connection take effect. */
#ifndef CHRONIK_API_ORDER_H
#define CHRONIK_API_ORDER_H

#include "api/api.h"

/* Whether a request before r on its connection is still changing what r looks at, or waits to look at what r changes.
 */
bool order_must_wait(const struct api_req *r);
/* Keeps r until it need not wait any more; then it begins. */
void order_wait(struct api_req *r);
/* r is about to be answered: who waited for it goes on, later on the loop. */
void order_ended(struct api_req *r);
/* Once a loop; `begin` takes up a request that has waited, `rest` runs after each round of them. */
void order_attach(struct api_loop *l, void (*begin)(struct api_req *r), void (*rest)(struct api_loop *l));

#endif

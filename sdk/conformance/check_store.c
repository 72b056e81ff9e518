/* check_store.c: the checks of a storage module. */
#include "kit.h"

const struct kit_check kit_store_checks[] = {
    {NULL, 0, NULL, false},
};

/* version.c: which release and which sources this binary is. The id comes from a generated header that is rewritten
 * only when it changes; nothing else may include that header, so that a new commit recompiles this file alone. */
#include <config.h>

#include "base/log.h"

#include "base/build_id.h"

const char *chronik_version(void)
{
    return VERSION;
}

const char *chronik_build_id(void)
{
    return CHRONIK_BUILD_ID;
}

#include <config.h>

/* main.c: the entrance of the broker: options, then start-up order. */
#include <stdio.h>

int main(void)
{
    printf("chronik %s\n", VERSION);
    return 0;
}

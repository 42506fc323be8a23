#include "score/linalg_backend.h"

#include "common/err.h"
#include "extract/plugin.h"

#include <string.h>

int linalg_cuda_open(linalg **out, const char *device, size_t memory)
{
    int rc = 0, number = 0;
    const cuda_plugin *plugin = NULL;
    const linalg_plugin *la = NULL;
    linalg_plugin_entry *entry;
    void *symbol;
    TRY(plugin_parse_device(device, &number));
    TRY(plugin_load(&plugin));
    symbol = plugin_symbol(LINALG_PLUGIN_ENTRY);
    if (symbol != NULL) {
        memcpy(&entry, &symbol, sizeof entry); /* ISO C has no cast from object to function pointer */
        la = entry(LINALG_ABI, plugin_host());
    }
    CHECK(la != NULL && la->abi == LINALG_ABI, ERR_ENV,
          "the CUDA plugin has no linear algebra for this build; install both together");
    TRY(la->open(out, number, memory));
done:
    return rc;
}

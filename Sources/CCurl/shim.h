// Wraps what Swift cannot reach in libcurl's headers, each with its reason, and nothing else.
#ifndef STEWARD_CCURL_SHIM_H
#define STEWARD_CCURL_SHIM_H

#include <curl/curl.h>

// curl_easy_setopt and curl_easy_getinfo are variadic, which Swift cannot call: one shim for each type of argument.
static inline CURLcode steward_curl_set_long(CURL *handle, CURLoption option, long value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode steward_curl_set_text(CURL *handle, CURLoption option, const char *value) {
    return curl_easy_setopt(handle, option, value);
}

static inline CURLcode steward_curl_set_pointer(CURL *handle, CURLoption option, void *value) {
    return curl_easy_setopt(handle, option, value);
}

typedef size_t (*steward_curl_receiver)(char *bytes, size_t size, size_t count, void *context);

static inline CURLcode steward_curl_set_receiver(CURL *handle, CURLoption option, steward_curl_receiver receiver) {
    return curl_easy_setopt(handle, option, receiver);
}

static inline CURLcode steward_curl_get_long(CURL *handle, CURLINFO info, long *value) {
    return curl_easy_getinfo(handle, info, value);
}

// CURL_GLOBAL_DEFAULT is a macro made of other macros.
static inline CURLcode steward_curl_begin(void) { return curl_global_init(CURL_GLOBAL_DEFAULT); }

#endif

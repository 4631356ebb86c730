/* words: each verb of atomic.h and thread.h once, so that a compiler sees them where no module is compiled. */
#include "atomic.h"
#include "thread.h"

uintptr_t tl_words(tl_counter *counter, tl_flag *flag, tl_word *word, const char **name);

uintptr_t tl_words(tl_counter *counter, tl_flag *flag, tl_word *word, const char **name) {
    tl_count(counter, 2);
    tl_forget(counter);
    tl_put(flag, 1);
    tl_put_word(word, (size_t)*flag);
    TL_STORE(*name, "words");
    return tl_thread() + (uintptr_t)(*counter + *word) + (uintptr_t)*TL_LOAD(*name);
}

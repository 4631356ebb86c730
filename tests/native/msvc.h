/* msvc: has clang see a source as MSVC does. Included before it, with -fms-compatibility: what the system declares is taken from
 * the headers of mingw-w64, which need GCC's names; then these go, and MSVC's come in their place. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#undef WIN32_LEAN_AND_MEAN /* thread.h's own */
#undef NOMINMAX
#include <intrin.h>
#undef _ReadWriteBarrier
void _ReadWriteBarrier(void);
#define __INTRIN_H /* clang's, which is for MSVC's library; mingw-w64's has been read */

#if defined(__x86_64__)
#include <immintrin.h>
static inline void __cpuidex(int out[4], int leaf, int part) {
    __asm__("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "0"(leaf), "2"(part));
}
#define _M_X64 100
#define _M_AMD64 100
#elif defined(__aarch64__)
#include <arm_neon.h>
void __dmb(unsigned kind);
#define _M_ARM64 1
#endif

#undef __clang__
#undef __GNUC__
#undef __GNUC_MINOR__
#undef __GNUC_PATCHLEVEL__
#undef __MINGW32__
#undef __MINGW64__
#undef __x86_64__
#undef __aarch64__
#undef __BYTE_ORDER__
#define _MSC_VER 1940

// Names: hosts, services, users, groups, and the system log. What libc does inside itself (nss modules,
// /etc/hosts, DNS over sockets, nscd) cannot be hooked by name, so the kernel thread does it (DESIGN §9), at
// most COSHIM_BLOCKING at once (runtime/sched/places.h).
#include <netdb.h>

#include "preload/region.h"

namespace coshim {

// Addresses and ports as numbers, in text or out of it: nobody is asked, nothing blocks. Servers do that for
// every line of their logs.
HOOK(int, getaddrinfo, (const char* node, const char* service, const addrinfo* hints, addrinfo** result)) {
  bool numeric = hints != nullptr && (node == nullptr || (hints->ai_flags & AI_NUMERICHOST) != 0) &&
                 (service == nullptr || (hints->ai_flags & AI_NUMERICSERV) != 0);
  if (numeric || !in_coroutine()) return real::getaddrinfo(node, service, hints, result);
  Place place(PlaceKind::names);
  BlockingRegion region("getaddrinfo");
  return real::getaddrinfo(node, service, hints, result);
}

HOOK(int, getnameinfo,
     (const sockaddr* address, socklen_t length, char* host, socklen_t host_size, char* service,
      socklen_t service_size, int flags)) {
  bool numeric = (host == nullptr || (flags & NI_NUMERICHOST) != 0) &&
                 (service == nullptr || (flags & NI_NUMERICSERV) != 0);
  if (numeric || !in_coroutine())
    return real::getnameinfo(address, length, host, host_size, service, service_size, flags);
  Place place(PlaceKind::names);
  BlockingRegion region("getnameinfo");
  return real::getnameinfo(address, length, host, host_size, service, service_size, flags);
}

COSHIM_NAME_REGION(gethostbyname, true)
COSHIM_NAME_REGION(gethostbyname2, true)
COSHIM_NAME_REGION(gethostbyaddr, true)
COSHIM_NAME_REGION(gethostbyname_r, true)
COSHIM_NAME_REGION(gethostbyname2_r, true)
COSHIM_NAME_REGION(gethostbyaddr_r, true)
COSHIM_NAME_REGION(gethostent_r, false)
COSHIM_NAME_REGION(gethostent, false)
COSHIM_NAME_REGION(res_query, true)
COSHIM_NAME_REGION(res_search, true)
COSHIM_NAME_REGION(res_querydomain, true)
COSHIM_NAME_REGION(res_send, true)
COSHIM_NAME_REGION(res_nquery, true)
COSHIM_NAME_REGION(res_nsearch, true)
COSHIM_NAME_REGION(res_nquerydomain, true)
COSHIM_NAME_REGION(res_nsend, true)
COSHIM_NAME_REGION(getservbyname, false)
COSHIM_NAME_REGION(getservbyport, false)
COSHIM_NAME_REGION(getservbyname_r, false)
COSHIM_NAME_REGION(getservbyport_r, false)
COSHIM_NAME_REGION(getpwnam, false)
COSHIM_NAME_REGION(getpwuid, false)
COSHIM_NAME_REGION(getpwnam_r, false)
COSHIM_NAME_REGION(getpwuid_r, false)
COSHIM_NAME_REGION(getgrnam, false)
COSHIM_NAME_REGION(getgrgid, false)
COSHIM_NAME_REGION(getgrnam_r, false)
COSHIM_NAME_REGION(getgrgid_r, false)
COSHIM_NAME_REGION(initgroups, false)
COSHIM_NAME_REGION(getgrouplist, false)
COSHIM_NAME_REGION(openlog, false)

// What waits here is done on threads of glibc's own: 20 at most.
COSHIM_REGION(getaddrinfo_a, false)
COSHIM_REGION(gai_suspend, true)

// libc holds a lock of its own while it talks to the log: who waits for that lock would cost a kernel thread
// each. So coroutines wait here, for a mutex that parks them, and only one at a time goes on to libc's.
namespace {

pthread_mutex_t g_log_order = PTHREAD_MUTEX_INITIALIZER;

void leave_log(void*) {
  hook_pthread_mutex_unlock(&g_log_order);
}

}  // namespace

// syslog(3) is a cancellation point: the handler runs when it acts in there.
HOOK(void, vsyslog, (int priority, const char* format, va_list arguments)) {
  if (!in_coroutine()) return real::vsyslog(priority, format, arguments);
  hook_pthread_mutex_lock(&g_log_order);
  pthread_cleanup_push(leave_log, nullptr);
  BlockingRegion region("vsyslog", false);
  real::vsyslog(priority, format, arguments);
  pthread_cleanup_pop(1);
}

HOOK(void, __vsyslog_chk, (int priority, int flag, const char* format, va_list arguments)) {
  if (!in_coroutine()) return real::__vsyslog_chk(priority, flag, format, arguments);
  hook_pthread_mutex_lock(&g_log_order);
  pthread_cleanup_push(leave_log, nullptr);
  BlockingRegion region("vsyslog", false);
  real::__vsyslog_chk(priority, flag, format, arguments);
  pthread_cleanup_pop(1);
}

HOOK(void, syslog, (int priority, const char* format, ...)) {
  va_list arguments;
  va_start(arguments, format);
  hook_vsyslog(priority, format, arguments);
  va_end(arguments);
}

HOOK(void, __syslog_chk, (int priority, int flag, const char* format, ...)) {
  va_list arguments;
  va_start(arguments, format);
  hook___vsyslog_chk(priority, flag, format, arguments);
  va_end(arguments);
}

}  // namespace coshim

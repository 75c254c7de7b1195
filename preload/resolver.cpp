// Names: hosts, services, users, groups, and the system log. What libc does inside itself (nss modules,
// /etc/hosts, DNS over sockets, nscd) cannot be hooked by name, so the kernel thread does it (DESIGN §9), at
// most COSHIM_BLOCKING at once (runtime/sched/places.h).
#include "preload/region.h"

namespace coshim {

COSHIM_NAME_REGION(getaddrinfo, true)
COSHIM_NAME_REGION(getnameinfo, true)
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
COSHIM_NAME_REGION(vsyslog, false)
COSHIM_NAME_REGION(__vsyslog_chk, false)
COSHIM_NAME_REGION(openlog, false)

// What waits here is done on threads of glibc's own: 20 at most.
COSHIM_REGION(getaddrinfo_a, false)
COSHIM_REGION(gai_suspend, true)

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

/*
 * The kernel's floor of a macvlan ADD: the fewest messages that make a working link, sent by a program that does nothing
 * else. Prints the microseconds of each round.
 *
 * Usage: floor POD_NETNS MASTER_INDEX ROUNDS|add|del   exit 0, or 1 with the failed call on standard error
 *
 * A round is: open and enter the pod's namespace, open a netlink socket there, come back; one RTM_NEWLINK that creates the
 * link in the namespace with name and MAC, up; one send with an address and a default route. Removing it is not timed.
 * `add` is one round without the removal, and `del` is the removal: each a process of its own, timed from outside.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct buffer { char bytes[1024]; size_t end; };

static void fail(const char *call) { perror(call); exit(1); }

static struct nlmsghdr *begin(struct buffer *b, int type, int flags, const void *fixed, size_t size)
{
	struct nlmsghdr *head = (struct nlmsghdr *)(b->bytes + b->end);
	memset(head, 0, NLMSG_LENGTH(size));
	head->nlmsg_type = type;
	head->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	memcpy(NLMSG_DATA(head), fixed, size);
	b->end += NLMSG_SPACE(size);
	return head;
}

static struct rtattr *attribute(struct buffer *b, int type, const void *data, size_t size)
{
	struct rtattr *attr = (struct rtattr *)(b->bytes + b->end);
	attr->rta_type = type;
	attr->rta_len = RTA_LENGTH(size);
	memcpy(RTA_DATA(attr), data, size);
	b->end += RTA_SPACE(size);
	return attr;
}

static void finish(struct buffer *b, struct nlmsghdr *head) { head->nlmsg_len = b->bytes + b->end - (char *)head; }

/* Sends what was built and waits until all of it is acknowledged. */
static void talk(int fd, struct buffer *b, int messages)
{
	char answer[8192];
	if (send(fd, b->bytes, b->end, 0) < 0) fail("send");
	while (messages > 0) {
		ssize_t size = recv(fd, answer, sizeof answer, 0);
		if (size < 0) fail("recv");
		for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, size); h = NLMSG_NEXT(h, size)) {
			struct nlmsgerr *error = NLMSG_DATA(h);
			if (h->nlmsg_type != NLMSG_ERROR) continue;
			if (error->error != 0) { fprintf(stderr, "netlink: %s\n", strerror(-error->error)); exit(1); }
			messages--;
		}
	}
}

static int netlink(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	if (fd < 0) fail("socket");
	return fd;
}

static void create(int host, int netns, int index, int master)
{
	struct buffer b = {.end = 0};
	struct ifinfomsg link = {.ifi_index = index, .ifi_flags = IFF_UP, .ifi_change = IFF_UP};
	unsigned char mac[6] = {2, 0, 0, 0, index >> 8, index};
	unsigned int mode = MACVLAN_MODE_BRIDGE;
	struct nlmsghdr *head = begin(&b, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link, sizeof link);
	attribute(&b, IFLA_IFNAME, "net1", 5);
	attribute(&b, IFLA_LINK, &master, 4);
	attribute(&b, IFLA_ADDRESS, mac, sizeof mac);
	attribute(&b, IFLA_NET_NS_FD, &netns, 4);
	struct rtattr *info = attribute(&b, IFLA_LINKINFO, "", 0);
	attribute(&b, IFLA_INFO_KIND, "macvlan", 8);
	struct rtattr *data = attribute(&b, IFLA_INFO_DATA, "", 0);
	attribute(&b, IFLA_MACVLAN_MODE, &mode, 4);
	data->rta_len = b.bytes + b.end - (char *)data;
	info->rta_len = b.bytes + b.end - (char *)info;
	finish(&b, head);
	talk(host, &b, 1);
}

static void configure(int pod, int index)
{
	struct buffer b = {.end = 0};
	struct ifaddrmsg address = {.ifa_family = AF_INET, .ifa_prefixlen = 24, .ifa_index = index};
	struct rtmsg route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN, .rtm_protocol = RTPROT_BOOT, .rtm_type = RTN_UNICAST};
	unsigned int own = inet_addr("10.0.0.5"), gateway = inet_addr("10.0.0.1");
	struct nlmsghdr *head = begin(&b, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &address, sizeof address);
	attribute(&b, IFA_LOCAL, &own, 4);
	attribute(&b, IFA_ADDRESS, &own, 4);
	finish(&b, head);
	head = begin(&b, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route, sizeof route);
	attribute(&b, RTA_OIF, &index, 4);
	attribute(&b, RTA_GATEWAY, &gateway, 4);
	finish(&b, head);
	talk(pod, &b, 2);
}

static void destroy(int pod, int index)
{
	struct buffer b = {.end = 0};
	struct ifinfomsg link = {.ifi_index = index};
	finish(&b, begin(&b, RTM_DELLINK, 0, &link, sizeof link));
	talk(pod, &b, 1);
}

/* A round's link; returns the socket in its namespace. */
static int attach(const char *path, int home, int host, int index, int master)
{
	int netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0) fail(path);
	if (setns(netns, CLONE_NEWNET) < 0) fail("setns");
	int pod = netlink();
	if (setns(home, CLONE_NEWNET) < 0) fail("setns");
	if (master != 0) {
		create(host, netns, index, master);
		configure(pod, index);
	}
	close(netns);
	return pod;
}

int main(int argc, char **argv)
{
	if (argc != 4) { fprintf(stderr, "usage: floor POD_NETNS MASTER_INDEX ROUNDS|add|del\n"); return 1; }
	int master = atoi(argv[2]), home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), host = netlink();
	if (home < 0) fail("open");
	if (strcmp(argv[3], "add") == 0) attach(argv[1], home, host, 1 << 25, master);
	else if (strcmp(argv[3], "del") == 0) destroy(attach(argv[1], home, host, 0, 0), 1 << 25);
	for (int round = 0; round < atoi(argv[3]); round++) {
		struct timespec start, end;
		int index = (1 << 25) + round;
		clock_gettime(CLOCK_MONOTONIC, &start);
		int pod = attach(argv[1], home, host, index, master);
		clock_gettime(CLOCK_MONOTONIC, &end);
		printf("%.3f\n", (end.tv_sec - start.tv_sec) * 1e6 + (end.tv_nsec - start.tv_nsec) / 1e3);
		destroy(pod, index);
		close(pod);
	}
	return 0;
}

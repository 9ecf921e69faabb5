// SPDX-License-Identifier: GPL-2.0
/*
 * kcolo-announce: tell a network that a guest now is reached from here.
 *
 * The guest itself says nothing at a failover: it does not know of it. The
 * frames bear the guest's own MAC as their source, so that switches learn the
 * port, and repeat what neighbours know already: nobody has to accept a change.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEVS_MAX	64
#define ADDRS_MAX	256
#define TIMES_MAX	1000
#define INTERVAL_MAX	60000
#define FRAME_MIN	60

enum { EXIT_USAGE = 1, EXIT_KERNEL = 2 };

static const char usage[] =
"Usage: kcolo-announce dev DEV [ dev DEV ]... mac MAC [ times N ]\n"
"             [ interval MS ] [ router ] [ ADDR ]...\n"
"Sends out of DEV, with MAC as source, an RARP and for each ADDR a gratuitous\n"
"ARP (IPv4) or an unsolicited neighbour advertisement (IPv6), the latter with\n"
"the router flag if asked for. All is repeated until it was sent N times (5),\n"
"MS (200) milliseconds apart.\n";

struct addr {
	int family;
	unsigned char bytes[16];
};

struct config {
	unsigned int n_devs;
	unsigned int n_addrs;
	unsigned long times;
	unsigned long interval;
	bool have_mac;
	bool router;
	unsigned char mac[ETH_ALEN];
	const char *devs[DEVS_MAX];
	struct addr addrs[ADDRS_MAX];
};

struct frame {
	size_t len;
	unsigned char bytes[128];
};

struct na {
	struct nd_neighbor_advert head;
	struct nd_opt_hdr opt;
	unsigned char mac[ETH_ALEN];
};

static int bad(const char *what, const char *word)
{
	fprintf(stderr, "Error: kcolo-announce: %s \"%s\"\n%s", what, word,
		usage);
	return EXIT_USAGE;
}

static int failed(const char *what)
{
	fprintf(stderr, "Error: kcolo-announce: %s: %s\n", what,
		strerror(errno));
	return EXIT_KERNEL;
}

static void frame_add(struct frame *frame, const void *data, size_t len)
{
	memcpy(frame->bytes + frame->len, data, len);
	frame->len += len;
}

static void frame_start(struct frame *frame, const struct config *config,
			const unsigned char *dst, uint16_t proto)
{
	struct ether_header eth = { .ether_type = htons(proto) };

	memset(frame, 0, sizeof(*frame));
	memcpy(eth.ether_dhost, dst, ETH_ALEN);
	memcpy(eth.ether_shost, config->mac, ETH_ALEN);
	frame_add(frame, &eth, sizeof(eth));
}

/* Ethernet frames have a least length; the zeroes are there already. */
static void frame_end(struct frame *frame)
{
	if (frame->len < FRAME_MIN)
		frame->len = FRAME_MIN;
}

static void arp_build(struct frame *frame, const struct config *config,
		      uint16_t proto, uint16_t op, const void *target_mac,
		      const void *ip)
{
	static const unsigned char all[ETH_ALEN] = {
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff
	};
	struct ether_arp arp = {
		.arp_hrd = htons(ARPHRD_ETHER),
		.arp_pro = htons(ETHERTYPE_IP),
		.arp_hln = ETH_ALEN,
		.arp_pln = 4,
		.arp_op = htons(op),
	};

	memcpy(arp.arp_sha, config->mac, ETH_ALEN);
	memcpy(arp.arp_tha, target_mac, ETH_ALEN);
	memcpy(arp.arp_spa, ip, 4);
	memcpy(arp.arp_tpa, ip, 4);
	frame_start(frame, config, all, proto);
	frame_add(frame, &arp, sizeof(arp));
	frame_end(frame);
}

/* "Who am I?", as QEMU asks after a migration: needs no address. */
static void rarp_build(struct frame *frame, const struct config *config)
{
	arp_build(frame, config, ETHERTYPE_REVARP, ARPOP_RREQUEST, config->mac,
		  "\0\0\0");
}

/* RFC 5227, 1.1: an ARP announcement. */
static void garp_build(struct frame *frame, const struct config *config,
		       const struct addr *addr)
{
	static const unsigned char none[ETH_ALEN];

	arp_build(frame, config, ETHERTYPE_ARP, ARPOP_REQUEST, none,
		  addr->bytes);
}

static uint16_t csum_fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static uint32_t csum_add(uint32_t sum, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (; len > 1; p += 2, len -= 2)
		sum += p[0] << 8 | p[1];
	return sum;
}

/* RFC 4861, 7.2.6: unsolicited, to all nodes. */
static void na_build(struct frame *frame, const struct config *config,
		     const struct addr *addr)
{
	static const unsigned char all_mac[ETH_ALEN] = { 0x33, 0x33, 0, 0, 0, 1 };
	static const unsigned char all[16] = { 0xff, 2, [15] = 1 };
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6 << 28),
		.ip6_plen = htons(sizeof(struct na)),
		.ip6_nxt = IPPROTO_ICMPV6,
		.ip6_hlim = 255,
	};
	struct na na = {
		.head.nd_na_type = ND_NEIGHBOR_ADVERT,
		.head.nd_na_flags_reserved = ND_NA_FLAG_OVERRIDE,
		.opt = { ND_OPT_TARGET_LINKADDR, 1 },
	};
	uint32_t sum;

	if (config->router)
		na.head.nd_na_flags_reserved |= ND_NA_FLAG_ROUTER;
	memcpy(&na.head.nd_na_target, addr->bytes, 16);
	memcpy(na.mac, config->mac, ETH_ALEN);
	memcpy(&ip.ip6_src, addr->bytes, 16);
	memcpy(&ip.ip6_dst, all, 16);
	sum = csum_add(sizeof(na) + IPPROTO_ICMPV6, &ip.ip6_src, 32);
	na.head.nd_na_cksum = htons(csum_fold(csum_add(sum, &na, sizeof(na))));

	frame_start(frame, config, all_mac, ETHERTYPE_IPV6);
	frame_add(frame, &ip, sizeof(ip));
	frame_add(frame, &na, sizeof(na));
	frame_end(frame);
}

static int frame_send(int fd, const char *dev, const struct frame *frame)
{
	struct sockaddr_ll to = { .sll_family = AF_PACKET };

	to.sll_ifindex = if_nametoindex(dev);
	if (!to.sll_ifindex)
		return failed(dev);
	if (sendto(fd, frame->bytes, frame->len, 0, (void *)&to,
		   sizeof(to)) != (ssize_t)frame->len)
		return failed(dev);
	return 0;
}

/* One frame out of every device; one that fails keeps no other back. */
static int frame_send_all(int fd, const struct config *config,
			  const struct frame *frame)
{
	unsigned int i;
	int rc = 0;

	for (i = 0; i < config->n_devs; i++)
		rc |= frame_send(fd, config->devs[i], frame);
	return rc;
}

static int burst(int fd, const struct config *config)
{
	struct frame frame;
	unsigned int i;
	int rc;

	rarp_build(&frame, config);
	rc = frame_send_all(fd, config, &frame);
	for (i = 0; i < config->n_addrs; i++) {
		const struct addr *addr = &config->addrs[i];

		if (addr->family == AF_INET)
			garp_build(&frame, config, addr);
		else
			na_build(&frame, config, addr);
		rc |= frame_send_all(fd, config, &frame);
	}
	return rc;
}

static int mac_read(struct config *config, const char *word)
{
	struct ether_addr *mac = (struct ether_addr *)config->mac;

	if (strlen(word) != strlen("00:00:00:00:00:00") ||
	    !ether_aton_r(word, mac))
		return bad("not a MAC:", word);
	if (config->mac[0] & 1)
		return bad("not the MAC of one station:", word);
	config->have_mac = true;
	return 0;
}

static int number_read(unsigned long *number, unsigned long max,
		       const char *word)
{
	char *end;

	errno = 0;
	*number = strtoul(word, &end, 10);
	if (!*word || word[strspn(word, "0123456789")] || *end || errno ||
	    *number > max)
		return bad("not a number, or too large:", word);
	return 0;
}

static int addr_read(struct config *config, const char *word)
{
	struct addr *addr = &config->addrs[config->n_addrs];

	if (config->n_addrs == ADDRS_MAX)
		return bad("too many addresses:", word);
	if (inet_pton(AF_INET, word, addr->bytes) == 1)
		addr->family = AF_INET;
	else if (inet_pton(AF_INET6, word, addr->bytes) == 1)
		addr->family = AF_INET6;
	else
		return bad("not an address:", word);
	config->n_addrs++;
	return 0;
}

static int word_read(struct config *config, const char *word, const char *value)
{
	if (!strcmp(word, "mac"))
		return mac_read(config, value);
	if (!strcmp(word, "times"))
		return number_read(&config->times, TIMES_MAX, value);
	if (!strcmp(word, "interval"))
		return number_read(&config->interval, INTERVAL_MAX, value);
	if (config->n_devs == DEVS_MAX)
		return bad("too many devices:", value);
	config->devs[config->n_devs++] = value;
	return 0;
}

static bool takes_value(const char *word)
{
	return !strcmp(word, "dev") || !strcmp(word, "mac") ||
	       !strcmp(word, "times") || !strcmp(word, "interval");
}

static int config_read(struct config *config, char **argv)
{
	int rc = 0;

	for (; *argv && !rc; argv++) {
		if (!strcmp(*argv, "router")) {
			config->router = true;
		} else if (!takes_value(*argv)) {
			rc = addr_read(config, *argv);
		} else if (!argv[1]) {
			rc = bad("no value behind", *argv);
		} else {
			rc = word_read(config, argv[0], argv[1]);
			argv++;
		}
	}
	if (!rc && !config->n_devs)
		rc = bad("there is no", "dev");
	if (!rc && !config->have_mac)
		rc = bad("there is no", "mac");
	return rc;
}

int main(int argc, char **argv)
{
	static struct config config = { .times = 5, .interval = 200 };
	struct timespec pause;
	unsigned long i;
	int fd, rc;

	if (argc > 1 && (!strcmp(argv[1], "help") || !strcmp(argv[1], "-h"))) {
		fputs(usage, stdout);
		return 0;
	}
	rc = config_read(&config, argc ? argv + 1 : argv);
	if (rc)
		return rc;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return failed("cannot open a packet socket");
	pause.tv_sec = config.interval / 1000;
	pause.tv_nsec = config.interval % 1000 * 1000000;
	for (i = 0; i < config.times; i++) {
		if (i)
			nanosleep(&pause, NULL);
		rc |= burst(fd, &config);
	}
	close(fd);
	return rc;
}

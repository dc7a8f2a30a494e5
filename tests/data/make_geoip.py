#!/usr/bin/env python3
"""Writes the GeoIP databases of the tests. Not run by them: the files are small and kept.

    pip install mmdb_writer && tests/data/make_geoip.py
"""

from pathlib import Path

from mmdb_writer import MMDBWriter
from netaddr import IPSet

HERE = Path(__file__).parent


def write(name, records, ip_version=6, kind="Framewall-Test"):
    writer = MMDBWriter(
        ip_version=ip_version,
        ipv4_compatible=ip_version == 6,
        database_type=kind,
        description="Networks of RFC 5737, RFC 3849 and RFC 1918 for tests",
        int_type="u32",
    )
    for networks, record in records:
        writer.insert_network(IPSet(networks), record)
    writer.to_db_file(str(HERE / name))


def country(code):
    return {"country": {"iso_code": code, "names": {"en": "of the test"}}}


def asn(number):
    return {"autonomous_system_number": number, "autonomous_system_organization": "A test"}


COUNTRIES = [
    (["192.0.2.0/24", "2001:db8:1::/48"], country("DE")),
    (["198.51.100.0/24", "2001:db8:2::/48"], country("FR")),
    (["203.0.113.0/24"], country("US")),
    (["203.0.112.0/24"], {"continent": {"code": "EU"}}),
]
SYSTEMS = [
    (["198.51.100.0/24", "2001:db8:2::/48"], asn(64496)),
    (["203.0.113.0/25"], asn(4200000000)),
]

write("country.mmdb", COUNTRIES)
write("asn.mmdb", SYSTEMS)
# For IPv4 alone, and of networks that country.mmdb does not know or calls another's.
write("country4.mmdb", [(["10.0.0.0/8"], country("DE")), (["192.0.2.0/24"], country("US"))], 4)
# Both in one record, as some databases have it.
write("both.mmdb", [(["192.0.2.0/24"], country("DE") | asn(64500))])
# Neither, and of the same names with other types for the second network.
write("neither.mmdb", [(["192.0.2.0/24"], {"city": {"names": {"en": "of the test"}}})])
write("mistyped.mmdb", [
    (["192.0.2.0/25"], country("DE") | asn(64500)),
    (["192.0.2.128/25"], {"country": "DE", "autonomous_system_number": "AS64500"}),
])

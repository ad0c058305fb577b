"""Numbers by region: what trunks, gateways and people write, and what a CRM must be given.

Each right answer follows from the country's public numbering plan (ITU-T E.164 national plans), named beside the rows.
"""

import pytest

from streams.calls.pbx_profile import PbxProfile

TABLE = """
# Russia: 10 digits after +7; 8 is dialled before national numbers, 810 before other countries.
RU 79161234567        +79161234567     country code without plus
RU 89161234567        +79161234567     national prefix
RU 9161234567         +79161234567     bare national number
RU +79161234567       +79161234567     E.164
RU +89161234567       +79161234567     a gateway's plus before the national prefix
RU 0079161234567      +79161234567     00, though Russia dials 810
RU +0079161234567     +79161234567     plus and 00
RU 810380671234567    +380671234567    Russia's international prefix
RU 00380671234567     +380671234567    00 before Ukraine
RU 380671234567       +380671234567    a trunk's E.164 without the plus
RU 6902345            6902345          local number of 7 digits; +690 is Tokelau
RU 2901234            2901234          local; +290 is Saint Helena
RU 223344             223344           city number of 6 digits
RU 989161234567       989161234567     9 for an outside line, and 8 916 ...: not Iran
RU 112                112              emergency
RU 0                  -                withheld
RU 00                 -                withheld
RU 0000000000         -                withheld
RU 7                  -                the country code before nothing
RU +7                 -                the same
RU 8                  -                the national prefix before nothing
RU 88001234567        +78001234567     toll-free
# Kazakhstan: shares +7; mobile 70x, 77x.
KZ 87011234567        +77011234567     national prefix
KZ 77011234567        +77011234567     country code
KZ 0077011234567      +77011234567     00, though Kazakhstan dials 810
KZ 7011234567         +77011234567     bare national number
# Belarus: 9 digits after +375; 8 0 before national numbers.
BY 80291234567        +375291234567    national prefix
BY 375291234567       +375291234567    country code
BY 00375291234567     +375291234567    00
BY 291234567          +375291234567    bare national number
# Ukraine: 9 digits after +380; 0 before national numbers.
UA 0671234567         +380671234567    national prefix
UA 380671234567       +380671234567    country code
UA 671234567          +380671234567    bare national number
UA 0079161234567      +79161234567     00 before Russia
UA 2345678            2345678          local number of Kyiv
# Germany: lengths vary; 0 before national numbers, 00 before other countries; mobile 15x, 16x, 17x.
DE 4915112345678      +4915112345678   country code
DE 493012345678       +493012345678    country code, Berlin
DE 491711234567       +491711234567    country code, 0171 with 7 digits
DE 015112345678       +4915112345678   national prefix
DE 03012345678        +493012345678    Berlin
DE 15112345678        +4915112345678   the prefix left out
DE 004915112345678    +4915112345678   00
DE +4915112345678     +4915112345678   E.164
DE +015112345678      +4915112345678   a gateway's plus before the national prefix
DE 0044207946 0018    +442079460018    00 before the United Kingdom
DE 6902345            6902345          local number, not area code 690
DE 49                 -                the country code before nothing
# Austria: lengths vary; 0 before national numbers; mobile 66x.
AT 436641234567       +436641234567    country code
AT 06641234567        +436641234567    national prefix
AT 00436641234567     +436641234567    00
# United Kingdom: 10 digits after +44; 0 before national numbers.
GB 02079460018        +442079460018    London
GB 442079460018       +442079460018    country code
GB 07400123456        +447400123456    mobile
GB 00447400123456     +447400123456    00
# France: 9 digits after +33; 0 before national numbers.
FR 0612345678         +33612345678     mobile
FR 33612345678        +33612345678     country code
FR 612345678          +33612345678     the prefix left out
FR 0033612345678      +33612345678     00
# United States: 10 digits after +1; 1 before national numbers, 011 before other countries.
US 5085551234         +15085551234     national number
US 15085551234        +15085551234     with the 1
US +15085551234       +15085551234     E.164
US 011442079460018    +442079460018    the international prefix
US 00442079460018     +442079460018    00, though the United States dial 011
US 5551234            5551234          local number of 7 digits
US 95085551234        95085551234      9 for an outside line: not Myanmar
US 915085551234       915085551234     9 and 1: not India
US 1                  -                the country code before nothing
# Mexico: 10 digits after +52 since 2019; before, +52 1 for mobiles, and 01, 044, 045 before national numbers.
MX 5512345678         +525512345678    national number
MX 525512345678       +525512345678    country code
MX +5215512345678     +525512345678    the withdrawn 1 of mobiles
MX 5215512345678      +525512345678    the same without plus
MX 015512345678       +525512345678    withdrawn national prefix
MX 0445512345678      +525512345678    withdrawn prefix of mobiles
MX 12345678           12345678         local number of 8 digits
# Brazil: 10 or 11 digits after +55; 0 and a carrier's code before national numbers.
BR 11961234567        +5511961234567   mobile of Sao Paulo
BR 5511961234567      +5511961234567   country code
BR 01511961234567     +5511961234567   0, carrier 15
BR 55961234567        +5555961234567   area code 55, no country code
# Italy: no national prefix, the 0 belongs to fixed-line numbers; mobile 3xx.
IT 3123456789         +393123456789    mobile
IT 393123456789       +393123456789    country code
IT 0236618300         +390236618300    Milan: the 0 stays
IT 00390236618300     +390236618300    00
IT 3912345678         +393912345678    mobile 391, no country code
# Poland: 9 digits after +48, no prefix; Radom's area code is 48.
PL 512345678          +48512345678     mobile
PL 48512345678        +48512345678     country code
PL 483612345          +48483612345     Radom
# Spain: 9 digits after +34, no prefix.
ES 612345678          +34612345678     mobile
ES 0034612345678      +34612345678     00
# Shorter plans with a national prefix that is not dialled before every number.
LI 2345678            +4232345678      Liechtenstein: all of 7 digits
BG 43012345           +35943012345     Bulgaria: a mobile number, the 0 left out
BG 212345             212345           Bulgaria: local
LB 71123456           +96171123456     Lebanon: a mobile number
# Kyrgyzstan, through a trunk of Russia: E.164 without plus; the same from Turkey.
RU 996555123456       +996555123456    no plus
RU 905321234567       +905321234567    no plus
RU 97122345678        +97122345678     Abu Dhabi: 712 is Kazakhstan's, nobody dials 9 and that
RU 94951234567        94951234567      9 and Moscow's 495, or Sri Lanka: untouched
AT 918123456789       +918123456789    India, no plus: Austria's plan would take nearly anything after the 9
GB 97122345678        +97122345678     Abu Dhabi: Britons dial 9 0 7122 ..., not 9 7122 ...
DE 902123456789       902123456789     9 and 0212 ..., or Istanbul: untouched
# A plus is never lost, whether the number is valid or not.
RU +12345             +12345           no valid number
RU +999123456789      +999123456789    no such country code
DE +5215512345678     +525512345678    Mexico's withdrawn 1
"""

ROWS = [
    (line[:2], *(part.strip() for part in (line[3:22], line[22:39], line[39:])))
    for line in TABLE.splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize(("region", "number", "right", "reason"), ROWS, ids=[f"{row[0]} {row[1]}" for row in ROWS])
def test_number_of_a_trunk_becomes_what_a_crm_can_use(region: str, number: str, right: str, reason: str) -> None:
    told = PbxProfile(region=region).normalised_number(number)
    assert told == (None if right == "-" else right), reason


def test_the_table_is_as_wide_as_it_says() -> None:
    assert len(ROWS) >= 60
    assert len({row[0] for row in ROWS}) >= 12


@pytest.mark.parametrize(
    ("region", "number"),
    [
        *(("RU", "989160000301"), ("RU", "589161234567"), ("RU", "380671234567"), ("RU", "94951234567")),
        *(("US", "95085551234"), ("US", "442079460018"), ("UA", "89161234567"), ("GB", "915085551234")),
    ],
)
def test_a_dialled_number_that_fits_no_plan_of_the_region_is_not_another_countrys(region: str, number: str) -> None:
    assert PbxProfile(region=region).dialled_number(number) == number


@pytest.mark.parametrize(
    ("region", "number", "right"),
    [
        ("RU", "+380671234567", "+380671234567"),
        ("RU", "810380671234567", "+380671234567"),
        ("RU", "00380671234567", "+380671234567"),
        ("RU", "89161234567", "+79161234567"),
        ("US", "01149301234567", "+49301234567"),
    ],
)
def test_a_dialled_number_with_a_prefix_is_read_by_it(region: str, number: str, right: str) -> None:
    assert PbxProfile(region=region).dialled_number(number) == right


@pytest.mark.parametrize(
    "number", ["+", "00", "+00", "000", "Неизвестен", "P", "O", "blocked", "+4\x00", "\u0667\u0668\u0669"]
)
def test_withheld_and_broken_numbers_are_no_clients(number: str) -> None:
    assert PbxProfile().normalised_number(number) is None


def test_a_region_that_nobody_knows_leaves_numbers_as_they_are() -> None:
    profile = PbxProfile(region="XX")
    assert profile.normalised_number("9161234567") == "9161234567"
    assert profile.normalised_number("+79161234567") == "+79161234567"

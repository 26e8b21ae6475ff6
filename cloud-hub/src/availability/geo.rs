//! Distances on the globe, cheap enough to take for every store of every request.
//!
//! A place is kept as a unit vector. The square of the chord between two of them is four times the haversine
//! (`hav θ = sin²(θ/2) = (chord/2)²`; R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68, 1984), so ordering by
//! chord is ordering by great-circle distance, without trigonometry, and poles and the date line are no special places.
//! The sphere has the earth's mean radius R1 (IUGG); the true ellipsoid differs by up to 0.5 %.

/// Mean radius of the earth, in kilometres.
const EARTH_RADIUS_KM: f64 = 6371.0088;

/// Why two numbers are no place on earth.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidPlace {
    #[error("latitude `{0}` is not between -90 and 90")]
    Latitude(f64),
    #[error("longitude `{0}` is not between -180 and 180")]
    Longitude(f64),
}

/// A place in degrees, within the globe's bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    lat: f64,
    lon: f64,
}

impl Place {
    /// # Errors
    /// When a number is not finite or out of its range.
    pub fn new(lat: f64, lon: f64) -> Result<Place, InvalidPlace> {
        // A NaN lies in no range.
        if !(-90.0..=90.0).contains(&lat) {
            return Err(InvalidPlace::Latitude(lat));
        }
        if !(-180.0..=180.0).contains(&lon) {
            return Err(InvalidPlace::Longitude(lon));
        }
        Ok(Place { lat, lon })
    }

    #[must_use]
    pub fn lat(self) -> f64 {
        self.lat
    }

    #[must_use]
    pub fn lon(self) -> f64 {
        self.lon
    }
}

/// A place as a unit vector from the earth's centre.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    x: f64,
    y: f64,
    z: f64,
}

impl From<Place> for Point {
    fn from(place: Place) -> Point {
        let (lat_sin, lat_cos) = place.lat.to_radians().sin_cos();
        let (lon_sin, lon_cos) = place.lon.to_radians().sin_cos();
        Point { x: lat_cos * lon_cos, y: lat_cos * lon_sin, z: lat_sin }
    }
}

impl Point {
    /// Square of the straight line through the globe, in earth radii: 0 to 4, growing with the distance.
    #[must_use]
    pub fn chord_squared(self, other: Point) -> f64 {
        let (dx, dy, dz) = (self.x - other.x, self.y - other.y, self.z - other.z);
        dx * dx + dy * dy + dz * dz
    }
}

/// The great-circle distance that belongs to a squared chord, in kilometres to the metre.
pub(crate) fn km_of_chord_squared(chord_squared: f64) -> f64 {
    let half_chord = (chord_squared.sqrt() / 2.0).min(1.0);
    let km = 2.0 * EARTH_RADIUS_KM * half_chord.asin();
    (km * 1000.0).round() / 1000.0
}

/// The squared chord that belongs to a great-circle distance; a half turn or more reaches everything.
pub(crate) fn chord_squared_of_km(km: f64) -> f64 {
    let half_angle = km / (2.0 * EARTH_RADIUS_KM);
    if half_angle >= std::f64::consts::FRAC_PI_2 {
        return f64::INFINITY;
    }
    let chord = 2.0 * half_angle.sin();
    chord * chord
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(lat: f64, lon: f64) -> Point {
        Place::new(lat, lon).unwrap().into()
    }

    fn km(from: (f64, f64), to: (f64, f64)) -> f64 {
        km_of_chord_squared(point(from.0, from.1).chord_squared(point(to.0, to.1)))
    }

    /// The textbook form, to hold the chord against.
    fn haversine_km(from: (f64, f64), to: (f64, f64)) -> f64 {
        let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
        let cosines = from.0.to_radians().cos() * to.0.to_radians().cos();
        let hav = half(from.0, to.0) + cosines * half(from.1, to.1);
        2.0 * EARTH_RADIUS_KM * hav.sqrt().min(1.0).asin()
    }

    #[test]
    fn distances_are_those_of_the_haversine() {
        let places = [(52.52, 13.405), (48.1372, 11.5755), (-33.8688, 151.2093), (0.0, 0.0), (89.9, -120.0)];
        for from in places {
            for to in places {
                let difference = (km(from, to) - haversine_km(from, to)).abs();
                assert!(difference <= 0.0006, "{from:?} {to:?}: {difference}");
            }
        }
        assert!((km((52.52, 13.405), (48.1372, 11.5755)) - 504.4).abs() < 0.5);
    }

    #[test]
    fn the_date_line_is_no_wall() {
        assert!((km((0.0, 179.9), (0.0, -179.9)) - 22.239).abs() < 0.001);
        assert_eq!(km((10.0, 180.0), (10.0, -180.0)), 0.0);
    }

    #[test]
    fn all_longitudes_meet_at_a_pole() {
        assert_eq!(km((90.0, 0.0), (90.0, 123.0)), 0.0);
        assert!((km((90.0, 0.0), (-90.0, 55.0)) - EARTH_RADIUS_KM * std::f64::consts::PI).abs() < 0.001);
    }

    #[test]
    fn a_few_metres_are_told_apart() {
        let metres = km((52.520_000, 13.405), (52.520_009, 13.405)) * 1000.0;
        assert!((metres - 1.0).abs() <= 0.5, "{metres}");
    }

    #[test]
    fn a_radius_reaches_what_lies_within_it() {
        let chord = point(52.0, 13.0).chord_squared(point(52.1, 13.1));
        let distance = km((52.0, 13.0), (52.1, 13.1));
        assert!(chord <= chord_squared_of_km(distance + 0.001));
        assert!(chord > chord_squared_of_km(distance - 0.001));
        assert_eq!(chord_squared_of_km(0.0), 0.0);
        assert_eq!(chord_squared_of_km(30_000.0), f64::INFINITY);
    }

    #[test]
    fn what_is_not_on_the_globe_is_no_place() {
        for (lat, lon) in
            [(90.1, 0.0), (-91.0, 0.0), (0.0, 180.1), (f64::NAN, 0.0), (0.0, f64::NAN), (f64::INFINITY, 0.0)]
        {
            assert!(Place::new(lat, lon).is_err(), "{lat} {lon}");
        }
    }
}

//! Setting up, pairing, signing in, the lock.

use super::texts;

texts! {
    SETUP: "Set up the store's page", "Preparar la página de la tienda", "स्टोर का पन्ना तैयार करें";
    SETUP_WHY: "Nobody is set up yet. The first person is a manager; they add everybody else.", "Todavía no hay nadie. La primera persona es un encargado, que añade a los demás.", "अभी कोई नहीं जुड़ा है। पहला व्यक्ति प्रबंधक होगा; बाकी सबको वही जोड़ेगा।";
    SETUP_CODE: "Set-up code", "Código de preparación", "सेट-अप कोड";
    SETUP_CODE_HINT: "On the store server: store-agent page setup-code", "En el servidor de la tienda: store-agent page setup-code", "स्टोर सर्वर पर: store-agent page setup-code";
    YOUR_NAME: "Your name", "Su nombre", "आपका नाम";
    NAME_HINT: "As your colleagues call you, for example Meera K.", "Como le llaman sus compañeros, por ejemplo Meera K.", "जिस नाम से साथी बुलाते हैं, जैसे मीरा के.";
    CHOOSE_PIN: "Choose a PIN", "Elija un PIN", "पिन चुनें";
    PIN_HINT: "4 to 8 digits. Not a year, not 1234, not 0000.", "De 4 a 8 cifras. Ni un año, ni 1234, ni 0000.", "4 से 8 अंक। न कोई साल, न 1234, न 0000।";
    PIN_AGAIN: "The PIN again", "El PIN otra vez", "पिन फिर से";
    DEVICE_NAME: "Name of this screen", "Nombre de esta pantalla", "इस स्क्रीन का नाम";
    DEVICE_NAME_HINT: "For example Back office or Tablet 2", "Por ejemplo Oficina o Tableta 2", "जैसे पिछला कार्यालय या टैबलेट 2";
    SET_UP: "Set up", "Preparar", "तैयार करें";

    PAIR: "Let this screen in", "Dar acceso a esta pantalla", "इस स्क्रीन को जोड़ें";
    PAIR_WHY: "A manager makes a code under People and devices on a screen that is in already. It is good for ten minutes.", "Un encargado crea un código en Personas y dispositivos, en una pantalla que ya tiene acceso. Vale diez minutos.", "प्रबंधक पहले से जुड़ी स्क्रीन पर «लोग और उपकरण» में कोड बनाता है। वह दस मिनट चलता है।";
    PAIR_CODE: "Pairing code", "Código de acceso", "जोड़ने का कोड";
    PAIR_CODE_HINT: "8 digits", "8 cifras", "8 अंक";
    PAIR_BUTTON: "Let in", "Dar acceso", "जोड़ें";

    WHO: "Who is there?", "¿Quién es?", "कौन है?";
    WHO_WHY: "Choose your name, then type your PIN.", "Elija su nombre y teclee su PIN.", "अपना नाम चुनें, फिर पिन डालें।";
    HELLO: "Hello, {name}", "Hola, {name}", "नमस्ते, {name}";
    SIGN_IN: "Sign in", "Entrar", "साइन इन";
    NOT_ME: "I am somebody else", "Soy otra persona", "मैं कोई और हूँ";
    LOCKED: "Locked", "Bloqueada", "लॉक है";
    LOCKED_WHY: "This screen was left alone for a while. What you were doing is kept.", "Nadie tocó esta pantalla un rato. Lo que estaba haciendo se conserva.", "यह स्क्रीन कुछ देर खाली रही। आप जो कर रहे थे वह सुरक्षित है।";
    UNLOCK: "Unlock", "Desbloquear", "खोलें";
    WAITING_ORDERS_NONE: "No order waits for anybody.", "Ningún pedido espera a nadie.", "किसी ऑर्डर पर काम बाकी नहीं।";
    WAITING_ORDERS_ONE: "{count} order waits for somebody.", "{count} pedido espera a alguien.", "{count} ऑर्डर किसी का इंतज़ार कर रहा है।";
    WAITING_ORDERS_MORE: "{count} orders wait for somebody.", "{count} pedidos esperan a alguien.", "{count} ऑर्डर किसी का इंतज़ार कर रहे हैं।";

    WRONG_SETUP_CODE: "That is not the set-up code. Read it again on the store server.", "Ese no es el código de preparación. Léalo otra vez en el servidor de la tienda.", "यह सेट-अप कोड नहीं है। स्टोर सर्वर पर फिर से पढ़ें।";
    WRONG_PAIR_CODE: "That code is wrong, used or older than ten minutes. Ask for a new one.", "Ese código es incorrecto, está usado o tiene más de diez minutos. Pida otro.", "यह कोड गलत है, इस्तेमाल हो चुका है या दस मिनट से पुराना है। नया माँगें।";
    WAIT: "Too many wrong tries. Try again in {age}.", "Demasiados intentos fallidos. Pruebe otra vez dentro de {age}.", "बहुत बार गलत कोशिश हुई। {age} बाद फिर करें।";
    NAME_UNFIT: "Type a name of at most 64 letters.", "Escriba un nombre de 64 letras como máximo.", "64 अक्षरों तक का नाम लिखें।";
    NAME_TAKEN: "Somebody here has this name already. Add an initial.", "Ya hay alguien con este nombre. Añada una inicial.", "यह नाम पहले से किसी का है। एक अक्षर और जोड़ें।";
    PIN_SHAPE: "A PIN has 4 to 8 digits.", "Un PIN tiene de 4 a 8 cifras.", "पिन में 4 से 8 अंक होते हैं।";
    PIN_GUESSABLE: "Everybody would try that PIN first. Choose another.", "Ese PIN es lo primero que probaría cualquiera. Elija otro.", "यह पिन सब सबसे पहले आज़माएँगे। दूसरा चुनें।";
    PIN_DIFFERS: "The two PINs are not the same.", "Los dos PIN no son iguales.", "दोनों पिन एक जैसे नहीं हैं।";
    DEVICE_UNFIT: "Type a name for this screen, at most 40 letters.", "Escriba un nombre para esta pantalla, de 40 letras como máximo.", "इस स्क्रीन का नाम लिखें, 40 अक्षरों तक।";
    FULL: "There are as many people as can be.", "Ya no caben más personas.", "और लोग नहीं जोड़े जा सकते।";
    LAST_MANAGER: "This is the only manager. Make somebody else a manager first.", "Es el único encargado. Nombre antes a otro encargado.", "यही एकमात्र प्रबंधक है। पहले किसी और को प्रबंधक बनाएँ।";
}
